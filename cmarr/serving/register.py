"""The best model of a study as an MLflow model, and in MLflow's registry: one version a model."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cmarr.files import digest, file_digest
from cmarr.modalities import NAMES
from cmarr.recognition.export import export, model_card
from cmarr.recognition.trained import Trained, widths
from cmarr.serving.messages import EXAMPLE
from cmarr.serving.requests import DEFAULTS
from cmarr.tracking.store import (
    HASH_TAG,
    Store,
    configure,
    failures,
    locked,
    prepare_locked,
    reason,
    remove_artifacts,
    selected,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

CODE = Path(__file__).with_name("pyfunc_model.py")
LIBRARIES = (
    "cmarr", "mlflow", "torch", "transformers", "safetensors", "numpy", "scipy", "scikit-learn", "av",
    "soundfile", "opencv-python", "pyarrow", "pydantic", "nflows",
)  # fmt: skip
"""What predicting needs, in the versions that are installed here."""

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


def fingerprint(trained: Trained) -> str:
    """SHA-256 of what the predictions depend on: the weights and their description, not the scores of their study."""
    told = trained.about.as_dict("metrics", "product")
    return digest({"about": told, "weights": [file_digest(path) for path in trained.weights]})


def write_mlflow_model(trained: Trained, folder: str | Path, **identity: Any) -> Any:
    """Write the folder and return MLflow's description of it. It holds an export, and code that only calls cmarr.

    `identity` (model_id, run_id) is what MLflow knows the model by where it is to be logged.
    """
    with TemporaryDirectory(prefix="cmarr-") as scratch, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=UserWarning
        )  # of MLflow, about type hints in its own classes
        import mlflow.pyfunc
        from mlflow.models import Model

        described = Model(**identity)
        export(trained, Path(scratch, "model"))
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(CODE),
            artifacts={"model": str(Path(scratch, "model"))},
            mlflow_model=described,
            pip_requirements=[f"{name}=={version(name)}" for name in LIBRARIES],
            metadata=_metadata(trained),
            model_config=dict(DEFAULTS),
        )
    _add_example(described, Path(folder), example(trained))
    return described


def example(trained: Trained) -> dict[str, Any]:
    """A clip that this model can predict for: a text, or a row of zeros where it was trained without text."""
    text = trained.about.encoders.get("text")
    if text is not None and text.name is not None:
        return EXAMPLE
    letter, width = next(iter(widths(trained).items()))
    return {"id": "zeros", "features": {NAMES[letter]: [[0.0] * width]}}


def _metadata(trained: Trained) -> dict[str, Any]:
    about = trained.about
    return {
        "dataset": about.dataset,
        "method": about.method,
        "classes": list(about.classes),
        "encoders": {
            modality: {"name": encoder.name or "features of the corpus", **encoder.provenance}
            for modality, encoder in about.encoders.items()
        },
        "validation_scores": {member.file: member.score for member in about.models},
        "fingerprint": fingerprint(trained),
    }


def _add_example(described: Any, folder: Path, clip: dict[str, Any]) -> None:
    # Handed to `save_model`, it would be predicted at once: seconds of loading encoders for what is known already.
    from mlflow.models.utils import _save_example

    _save_example(described, [clip], str(folder))
    described.save(str(folder / "MLmodel"))


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registered:
    """Which version of which registered model it is (None: MLflow could not be used), and whether it is new."""

    name: str
    version: int | None
    new: bool


def register(trained: Trained, *, root: Path, result: str, tags: Mapping[str, str]) -> Registered:
    """Log a model to the MLflow store of `root` and register it, unless it is there already.

    result: content hash of the result it belongs to, whose run must be there
    tags:   of the version: git commit, experiment name, ...

    No result depends on MLflow: a store that cannot be reached or used costs one logged warning.
    """
    store, name, key = configure(root), f"cmarr-{trained.about.dataset}", fingerprint(trained)
    if known := selected(store, KNOWN, name, key):
        return Registered(name, int(known[0][0]), new=False)
    try:
        with locked(store):
            prepare_locked(store)
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)
            found = client.search_model_versions(f"name = '{name}' AND tags.{HASH_TAG} = '{key}'")
            if found:
                return Registered(name, int(found[0].version), new=False)
            return Registered(name, _register(client, store, trained, name, key, result, tags), new=True)
    except failures() as error:
        log.warning(
            "MLflow at %s cannot be used (%s): the best model is not registered there until tracking runs again",
            store.shown,
            reason(error),
        )
        return Registered(name, None, new=False)


def _register(
    client: "MlflowClient",
    store: Store,
    trained: Trained,
    name: str,
    key: str,
    result: str,
    tags: Mapping[str, str],
) -> int:
    from mlflow.entities import LoggedModelOutput
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
        remove_artifacts(store, left.artifact_location)  # by a kill before its version was made
        client.delete_logged_model(left.model_id)
    logged = client.create_logged_model(
        experiment.experiment_id, LOGGED_AS, run, tags=own, model_type="cmarr"
    )
    with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
        folder = Path(scratch, "mlflow")
        write_mlflow_model(trained, folder, model_id=logged.model_id, run_id=run)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])  # shows it on the page of its run
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
