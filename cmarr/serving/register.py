"""The best model of a study in MLflow's registry: one version a model, however often a study is tracked."""

import contextlib
import logging
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmarr.recognition.card import model_card
from cmarr.recognition.trained import Trained
from cmarr.serving.package import fingerprint, write_mlflow_model
from cmarr.tracking.lookup import HASH_TAG
from cmarr.tracking.store import Store, configure, failures, locked, prepare_locked, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

LOGGED_AS = "best"
"""Name of the model among those of its experiment."""

LONGEST_CARD = 5000
"""Characters of a description that MLflow's databases take."""

KNOWN = f"""
    SELECT version.version FROM model_version_tags AS tag
    JOIN model_versions AS version ON version.name = tag.name AND version.version = tag.version
    WHERE tag.key = '{HASH_TAG}' AND tag.name = ? AND tag.value = ? AND version.current_stage != 'Deleted_Internal'
    ORDER BY version.version
"""


@dataclass(frozen=True)
class Registered:
    """Which version of which registered model it is (None: MLflow could not be used), and whether it is new."""

    name: str
    version: int | None
    new: bool


def registered_name(dataset: str) -> str:
    """Under which the best models of a dataset are registered."""
    return f"cmarr-{dataset}"


def register(trained: Trained, *, root: Path, result: str, tags: Mapping[str, str]) -> Registered:
    """Log a model to the MLflow store of `root` and register it, unless it is there already.

    result: content hash of the result it belongs to, whose run must be there
    tags:   of the version: git commit, experiment name, ...

    No result depends on MLflow: a store that cannot be reached or used costs one logged warning.
    """
    store, name, key = configure(root), registered_name(trained.about.dataset), fingerprint(trained)
    known = _known(store, name, key)
    if known is not None:
        return Registered(name, known, new=False)
    try:
        with locked(store):
            prepare_locked(store)
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)
            found = client.search_model_versions(f"name = '{name}' AND tags.{HASH_TAG} = '{key}'")
            if found:
                return Registered(name, int(found[0].version), new=False)
            return Registered(name, _register(client, trained, name, key, result, tags), new=True)
    except failures() as error:
        log.warning(
            "MLflow at %s cannot be used (%s): the best model is not registered there until tracking runs again",
            store.shown,
            reason(error),
        )
        return Registered(name, None, new=False)


def _known(store: Store, name: str, key: str) -> int | None:
    """The version, asked without importing MLflow, which takes seconds; None where this cannot be told."""
    if store.database is None or not store.database.exists():
        return None
    try:
        place = f"{store.database.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, uri=True)) as connection:
            row = connection.execute(KNOWN, (name, key)).fetchone()
    except sqlite3.Error:
        return None
    return int(row[0]) if row else None


def _register(
    client: "MlflowClient", trained: Trained, name: str, key: str, result: str, tags: Mapping[str, str]
) -> int:
    from mlflow.exceptions import MlflowException

    about = trained.about
    experiment = client.get_experiment_by_name(about.dataset)
    runs = experiment and client.search_runs([experiment.experiment_id], f"tags.{HASH_TAG} = '{result}'")
    if not experiment or not runs:
        raise MlflowException(
            f"there is no run of {about.method} on {about.dataset} that the model could belong to"
        )
    run = runs[0].info.run_id
    own = {
        **tags,
        HASH_TAG: key,
        "method": about.method,
        "validation_score": ", ".join(f"{member.score:.4f}" for member in about.models),
    }
    for left in client.search_logged_models([experiment.experiment_id], f"tags.{HASH_TAG} = '{key}'"):
        client.delete_logged_model(left.model_id)  # by a kill before its version was made
    logged = client.create_logged_model(
        experiment.experiment_id, LOGGED_AS, run, tags=own, model_type="cmarr"
    )
    with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
        folder = Path(scratch, "mlflow")
        write_mlflow_model(trained, folder, model_id=logged.model_id, run_id=run)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    _link(client, run, logged.model_id)
    with contextlib.suppress(MlflowException):  # there already
        client.create_registered_model(name, description=f"The best models of studies on {about.dataset}.")
    made = client.create_model_version(
        name,
        logged.artifact_location,
        run_id=run,
        tags=own,
        description=model_card(about)[:LONGEST_CARD],
        model_id=logged.model_id,
    )
    return int(made.version)


def _link(client: "MlflowClient", run: str, model: str) -> Any:
    """Show the model on the page of its run."""
    from mlflow.entities import LoggedModelOutput

    return client.log_outputs(run, [LoggedModelOutput(model, step=0)])
