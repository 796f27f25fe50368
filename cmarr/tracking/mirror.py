"""Results into MLflow, each exactly once: a parent run, and below it a child run per fold and seed.

A result is known by its content hash. Its parent run carries the hash as a tag from the first moment
and becomes FINISHED in the last one, so a run with a hash that is not FINISHED is what a killed process
left behind: it is deleted, and a result that is still current is logged anew.
"""

import json
import logging
import math
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cmarr.extras import extra
from cmarr.tracking.results import (
    AVERAGES,
    FoldResult,
    Results,
    content_hash,
    costs,
    mean_curves,
    params,
)
from cmarr.tracking.store import (
    HASH_TAG,
    Store,
    configure,
    failures,
    finished_hashes,
    locked,
    prepare_locked,
    reason,
    remove_artifacts,
)

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

T = TypeVar("T")

PARENT_TAG = "mlflow.parentRunId"

EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tells MLflow's interface that this is no chat application: it opens on runs and metrics."""

METRICS_A_BATCH = 500

PARAMS_A_BATCH = 100

DIGEST_LENGTH = 36
"""MLflow's limits."""

SCORES_VIEW_TAG = "mlflow.sharedViewState.scores"


@dataclass(frozen=True)
class Tracked:
    """How many results were logged now, how many were there already, how many could not be logged."""

    logged: int = 0
    already: int = 0
    missed: int = 0


def track(*results: Results, root: Path) -> Tracked:
    """Mirror results into the MLflow store of `root`; what is there already is left alone.

    No result depends on MLflow: a store that cannot be reached or used costs one logged warning.
    """
    store = configure(root)
    current = {content_hash(result): result for result in results}
    logged = already = 0
    try:
        known = finished_hashes(store)
        missing = {key: result for key, result in current.items() if key not in known}
        already = len(current) - len(missing)
        if missing:
            with locked(store):
                prepare_locked(store)
                client = _client(store)
                for key, result in missing.items():
                    if _clear(client, store, result.dataset, key):
                        already += 1
                    else:
                        log_result(client, store, key, result)
                        logged += 1
    except failures() as error:
        log.warning(
            "MLflow at %s cannot be used (%s): %d result(s) are missing there until tracking runs again; "
            "no other output is affected%s",
            store.shown,
            reason(error),
            len(current) - already - logged,
            ". If it stays so, move the file away: a new one is made and filled." if store.database else ".",
        )
    return Tracked(logged, already, len(current) - already - logged)


def _clear(client: "MlflowClient", store: Store, dataset: str, key: str) -> bool:
    """Delete what is not a whole run of this result and all but one that are; true if one is left.

    Whoever holds the lock of a local store is its only writer, so every unfinished run in it is dead. A
    server may have other writers: there only the runs of the result in hand are touched.
    """
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        return False
    found = client.search_runs([experiment.experiment_id], f"tags.{HASH_TAG} = '{key}'")
    whole = [run for run in found if run.info.status == "FINISHED"]
    dead = [run for run in found if run.info.status != "FINISHED"]
    if store.database is not None:
        from mlflow.entities import ViewType

        # with those that were deleted and have left artifacts: MLflow deletes a run, and not what it has logged
        dead = client.search_runs(
            [experiment.experiment_id],
            f"attributes.status != 'FINISHED' AND tags.{HASH_TAG} != ''",
            run_view_type=ViewType.ALL,
        )
    for run in [*whole[:-1], *dead]:
        _delete_run(client, store, run)
    return bool(whole)


def _client(store: Store) -> "MlflowClient":
    with extra("study"):
        from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store.uri)


def log_result(client: "MlflowClient", store: Store, content_hash: str, result: Results) -> None:
    """Log a result whole: the parent run is FINISHED when everything below it is."""
    experiment = _experiment(client, store, result)
    shared = {
        "dataset": result.dataset,
        "method": result.method,
        "variant": result.variant or "full",
        "mlflow.source.name": "cmarr",
        **result.tags,
    }
    if "git_commit" in result.tags:
        shared["mlflow.source.git.commit"] = result.tags["git_commit"]
    note = {"mlflow.note.content": result.note} if result.note else {}
    parent = client.create_run(
        experiment,
        tags={**shared, **note, HASH_TAG: content_hash, "data_hash": result.data_hash},
        run_name=result.name,
    ).info.run_id
    for fold in result.folds:
        child = client.create_run(
            experiment, tags={**shared, PARENT_TAG: parent}, run_name=f"fold {fold.fold} seed {fold.seed}"
        ).info.run_id
        numbers = {"fold": str(fold.fold), "seed": str(fold.seed)}
        _log(client, child, fold, numbers, result.scores_of(fold), fold.curves)
        client.set_terminated(child)
    _log_data(client, parent, result)
    _log(client, parent, result, params(result.settings), result.scores, mean_curves(result.folds))
    for name, content in result.texts.items():
        client.log_text(parent, content, name)
    _log_files(client, parent, result.files)
    client.set_terminated(parent)


def _delete_run(client: "MlflowClient", store: Store, parent: "Run") -> None:
    """Delete a parent run and its artifacts, its children first: a kill in between leaves a parent that is found again.

    Artifacts on a server are the server's.
    """
    from mlflow.entities import ViewType

    children = client.search_runs(
        [parent.info.experiment_id],
        f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'",
        run_view_type=ViewType.ALL,
    )
    for run in (*children, parent):
        remove_artifacts(store, run.info.artifact_uri)
        if run.info.lifecycle_stage == "active":
            client.delete_run(run.info.run_id)


def _experiment(client: "MlflowClient", store: Store, result: Results) -> str:
    """The id of the dataset's experiment, created if need be with an absolute folder for its artifacts."""
    found = client.get_experiment_by_name(result.dataset)
    tags = found.tags if found else EXPERIMENT_KIND
    view = scores_view(result, tags)
    if found is None:
        folder = (store.artifacts / result.dataset).as_uri() if store.artifacts else None
        return client.create_experiment(
            result.dataset, artifact_location=folder, tags={**tags, SCORES_VIEW_TAG: view}
        )
    if tags.get(SCORES_VIEW_TAG) != view:
        client.set_experiment_tag(found.experiment_id, SCORES_VIEW_TAG, view)
    return found.experiment_id


def _log(
    client: "MlflowClient",
    run: str,
    of: Results | FoldResult,
    settings: Mapping[str, str],
    scores: Mapping[str, float],
    curves: Sequence[tuple[int, str, float]],
) -> None:
    """Numbers, and the tables and figures under names that all runs share: MLflow sets equal names side by side.

    Logging a table twice under one name would append to it. It cannot happen here: a run belongs to one
    content hash, and a run that was left unfinished is deleted, never continued.
    """
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in {**scores, **costs(of.cost)}.items()]
    metrics += [
        Metric(f"curves/{name}", value, now, epoch) for epoch, name, value in curves if math.isfinite(value)
    ]
    for some_metrics in _batches(metrics, METRICS_A_BATCH):
        client.log_batch(run, metrics=some_metrics)
    for some_params in _batches([Param(*item) for item in settings.items()], PARAMS_A_BATCH):
        client.log_batch(run, params=some_params)
    for name, table in of.tables.items():
        frame = _plain(table() if callable(table) else table)
        with warnings.catch_warnings():
            # MLflow looks for images among a table's object columns in a way that pandas 3 warns about.
            warnings.filterwarnings("ignore", module=r"mlflow\.")
            client.log_table(run, frame, f"tables/{name}.json")
    for name, drawing in of.figures.items():
        figure = drawing() if callable(drawing) else drawing
        if isinstance(figure, Path):
            client.log_artifact(run, str(figure), "figures")
        else:
            client.log_figure(run, figure, f"figures/{name}.png", save_kwargs={"dpi": 150})


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _log_data(client: "MlflowClient", run: str, result: Results) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = Dataset(
        name=result.dataset,
        digest=result.data_hash[:DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": result.data_path}),
    )
    client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def _log_files(client: "MlflowClient", run: str, files: Mapping[str, Path]) -> None:
    """Copy files to their places among the artifacts, in one call whatever their number."""
    if not files:
        return
    with tempfile.TemporaryDirectory() as folder:
        for place, path in files.items():
            target = Path(folder, place)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        client.log_artifacts(run, folder)


def _plain(table: "pd.DataFrame") -> "pd.DataFrame":
    """The table as MLflow keeps it: no index, one row of column names."""
    named = any(name is not None for name in table.index.names)
    plain = table.reset_index() if named else table.copy()
    plain.columns = [
        " ".join(map(str, column)).strip() if isinstance(column, tuple) else str(column)
        for column in plain.columns
    ]
    return plain


def scores_view(result: Results, tags: Mapping[str, str]) -> str:
    """The tag's value: columns already in the experiment's `tags`, with this result's added.

    Columns are the averages of each metric and the numbers at the top of the settings (alpha, beta, ...).
    """
    try:
        known = json.loads(tags.get(SCORES_VIEW_TAG, "{}"))["selectedColumns"]
    except (ValueError, KeyError, TypeError):  # none yet, or a person's view in another form
        known = []
    numbers = sorted(
        name
        for name, value in result.settings.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    names = (f"{metric}/{row}" for metric in result.metrics for row in AVERAGES)
    averages = [name for name in names if name in result.scores]
    wanted = [f"params.`{name}`" for name in numbers] + [f"metrics.`{name}`" for name in averages]
    return json.dumps({"selectedColumns": list(dict.fromkeys([*known, *wanted]))})
