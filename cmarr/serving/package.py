"""A trained model as an MLflow model: a folder that `mlflow models serve` and `mlflow.pyfunc.load_model` take."""

import warnings
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cmarr.files import digest, file_digest
from cmarr.modalities import LETTERS
from cmarr.recognition.export import export
from cmarr.recognition.trained import Trained, widths
from cmarr.serving.bounds import DEFAULTS
from cmarr.serving.shape import EXAMPLE

CODE = Path(__file__).with_name("pyfunc_model.py")
LIBRARIES = (
    "cmarr", "mlflow", "torch", "torchaudio", "transformers", "safetensors", "numpy", "scipy", "scikit-learn", "av",
    "soundfile", "opencv-python", "pyarrow", "pydantic", "nflows",
)  # fmt: skip
"""What answering needs, in the versions that are installed here."""


def fingerprint(trained: Trained) -> str:
    """SHA-256 of what the answers depend on: the weights and their description, not the scores of their study."""
    told = trained.about.model_dump(mode="json", exclude={"metrics", "product"})
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
    """A clip that this model can answer: a text, or a row of zeros where it was trained without text."""
    text = trained.about.encoders.get("text")
    if text is not None and text.name is not None:
        return EXAMPLE
    letter, width = next(iter(widths(trained).items()))
    name = next(name for name, own in LETTERS.items() if own == letter)
    return {"id": "zeros", "features": {name: [[0.0] * width]}}


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
    # Handed to `save_model`, it would be answered at once: seconds of loading encoders for what is known already.
    from mlflow.models.utils import _save_example

    _save_example(described, [clip], str(folder))
    described.save(str(folder / "MLmodel"))
