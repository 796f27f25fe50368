"""Models by name: those that cmarr brings along, a folder, MLflow's registry, a hub. Only weights and JSON are read."""

import re
import tempfile
from pathlib import Path
from typing import Any

from cmarr import objects
from cmarr.budgets import expanded
from cmarr.errors import UserError, did_you_mean, first_line
from cmarr.extras import extra
from cmarr.recognition.export import export
from cmarr.recognition.trained import CARD, DESCRIPTION, Trained, exported
from cmarr.seals import LIST

SHIPPED = Path(__file__).parent / "shipped"
"""One folder a model that cmarr brings along, as `write_repository` lays it out."""

DEFAULT = "starter"
"""The model that answers where none is named and no study has one."""

READ = ("*.safetensors", "*.json", CARD, LIST)
"""What is fetched of a repository on a hub; nothing else in it is looked at."""

_REGISTRY = "models:/"
_DATABASE = "sqlite:///"
_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def shipped() -> tuple[str, ...]:
    """The names of the models that cmarr brings along.

    >>> shipped()
    ('starter', 'starter-open')
    """
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{DESCRIPTION}")))


def pretrained(source: str | Path, revision: str | None = None) -> Trained:
    """The models that a name stands for; see `Recognizer.from_pretrained`.

    Raises UserError for what is no model, is damaged, or cannot be fetched.
    """
    name = str(source)
    if name in shipped():
        return exported(SHIPPED / name)
    if name.startswith(_REGISTRY):
        return exported(_registered(name))
    if objects.is_remote(name):
        return exported(name.removesuffix(f"/{DESCRIPTION}").removesuffix("/MLmodel"))
    path = expanded(source)
    if path.is_file() and path.name in (DESCRIPTION, "MLmodel"):
        path = path.parent
    if path.exists():
        return exported(path)
    if _HUB.fullmatch(name):
        return exported(_fetched(name, revision))
    raise UserError(
        f"{name} is not a folder, and no model of this name comes with cmarr; there are {', '.join(shipped())}"
        f"{did_you_mean(name, shipped())}; or name a folder that `cmarr export` wrote, models:/NAME/VERSION in "
        "MLflow's registry, or OWNER/NAME on the hub"
    )


def write_repository(trained: Trained, folder: str | Path, *, force: bool = False) -> Path:
    """Write the layout of a repository on a hub: an export, and before its card what a hub reads.

    Raises UserError as `export` does.
    """
    licence = trained.about.licence
    head = ["---", "library_name: cmarr", *([f"license: {licence}"] if licence else []), "tags:"]
    tags = ("emotion-recognition", "multimodal", "missing-modalities", trained.about.method)
    head += [*(f"- {tag}" for tag in tags), "---", "", ""]
    return export(trained, folder, force=force, head="\n".join(head))


def push(trained: Trained, repository: str, *, private: bool = False, token: str | None = None) -> str:
    """Put the models on the hub as `repository` (OWNER/NAME), which is made if it is not there; returns its address.

    Raises UserError where the hub refuses, or cannot be reached.
    """
    with extra("encoders"):
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    unreachable: Any = HfHubHTTPError.__mro__[1]  # of httpx, or of what huggingface_hub goes by instead
    with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
        folder = write_repository(trained, Path(scratch) / "model")
        api = HfApi(token=token)
        try:
            made = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id, folder_path=folder, commit_message=f"{trained.about.method} of cmarr"
            )
        except (unreachable, HFValidationError, OSError) as error:
            raise UserError(
                f"{repository} cannot be written on the hub ({first_line(error)}); check its name, the connection and "
                "the token (`hf auth login`)"
            ) from None
    return str(made)


def _registered(uri: str) -> Path:
    """Where the files of a model in MLflow's registry lie; its code is not run."""
    with extra("study"):
        import mlflow

    where = mlflow.get_registry_uri()
    if (
        where.startswith(_DATABASE) and not Path(where.removeprefix(_DATABASE)).is_file()
    ):  # MLflow would make it
        raise UserError(
            f"{uri}: there is no registry, {where} does not exist; MLFLOW_TRACKING_URI says where it is"
        )
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (mlflow.MlflowException, OSError) as error:
        raise UserError(
            f"{uri} cannot be read from MLflow's registry ({first_line(error)}); MLFLOW_TRACKING_URI says which it is"
        ) from None


def _fetched(repository: str, revision: str | None) -> Path:
    with extra("encoders"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(READ)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{repository} is no folder here and cannot be fetched from the hub ({first_line(error)}); check its name "
            "and the connection, or fetch it elsewhere and name its folder"
        ) from None
