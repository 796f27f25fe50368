"""How one result looks in MLflow: a parent run, and below it a child run per fold and seed."""

import json
import math
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cmarr.tracking.lookup import HASH_TAG
from cmarr.tracking.results import Drawing, Results, Table, costs, mean_curves, numbers, params, summary
from cmarr.tracking.store import Store
from cmarr.tracking.view import TAG as VIEW_TAG
from cmarr.tracking.view import scores_view

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

PARENT_TAG = "mlflow.parentRunId"
EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tells MLflow's interface that this is no chat application: it opens on runs and metrics."""

METRICS_A_BATCH = 500
PARAMS_A_BATCH = 100
DIGEST_LENGTH = 36
"""MLflow's limits."""


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
        _log_values(
            client,
            child,
            {"fold": str(fold.fold), "seed": str(fold.seed)},
            {**numbers(fold.metrics), **costs(fold.cost)},
            fold.curves,
        )
        _log_artifacts(client, child, fold.tables, fold.figures)
        client.set_terminated(child)
    _log_values(
        client,
        parent,
        params(result.settings),
        {**summary(result.metrics), **costs(result.cost)},
        mean_curves(result.folds),
    )
    _log_data(client, parent, result)
    _log_artifacts(client, parent, result.tables, result.figures)
    for name, content in result.texts.items():
        client.log_text(parent, content, name)
    _log_files(client, parent, result.files)
    client.set_terminated(parent)


def delete(client: "MlflowClient", parent: "Run") -> None:
    """Delete a parent run, its children first: a kill in between leaves a parent that is found again."""
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'"
    )
    for run in (*children, parent):
        client.delete_run(run.info.run_id)


def _experiment(client: "MlflowClient", store: Store, result: Results) -> str:
    """The id of the dataset's experiment, created if need be with an absolute folder for its artifacts."""
    found = client.get_experiment_by_name(result.dataset)
    tags = found.tags if found else EXPERIMENT_KIND
    view = scores_view(result, tags)
    if found is None:
        folder = (store.artifacts / result.dataset).as_uri() if store.artifacts else None
        return client.create_experiment(
            result.dataset, artifact_location=folder, tags={**tags, VIEW_TAG: view}
        )
    if tags.get(VIEW_TAG) != view:
        client.set_experiment_tag(found.experiment_id, VIEW_TAG, view)
    return found.experiment_id


def _log_values(
    client: "MlflowClient",
    run: str,
    settings: Mapping[str, str],
    scores: Mapping[str, float],
    curves: Sequence[tuple[int, str, float]],
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in scores.items()]
    metrics += [
        Metric(f"curves/{name}", value, now, epoch) for epoch, name, value in curves if math.isfinite(value)
    ]
    for some_metrics in _batches(metrics, METRICS_A_BATCH):
        client.log_batch(run, metrics=some_metrics)
    for some_params in _batches([Param(*item) for item in settings.items()], PARAMS_A_BATCH):
        client.log_batch(run, params=some_params)


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


def _log_artifacts(
    client: "MlflowClient", run: str, tables: Mapping[str, Table], figures: Mapping[str, Drawing]
) -> None:
    """Tables and figures, under names that all runs share: MLflow sets equal names side by side.

    Logging a table twice under one name would append to it. It cannot happen here: a run belongs to one
    content hash, and a run that was left unfinished is deleted, never continued.
    """
    for name, table in tables.items():
        frame = _plain(table() if callable(table) else table)
        with warnings.catch_warnings():
            # MLflow looks for images among a table's object columns in a way that pandas 3 warns about.
            warnings.filterwarnings("ignore", module=r"mlflow\.")
            client.log_table(run, frame, f"tables/{name}.json")
    for name, drawing in figures.items():
        figure = drawing() if callable(drawing) else drawing
        if isinstance(figure, Path):
            client.log_artifact(run, str(figure), "figures")
        else:
            client.log_figure(run, figure, f"figures/{name}.png", save_kwargs={"dpi": 150})


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
