"""Models by name: those that cmarr brings along, a folder, MLflow's registry, a hub. Only weights and JSON are read."""

import re
import tempfile
from pathlib import Path

from cmarr.errors import UserError, did_you_mean
from cmarr.extras import extra
from cmarr.files import file_digest, write_text
from cmarr.recognition.export import CARD, export
from cmarr.recognition.trained import DESCRIPTION, Trained, exported

SHIPPED = Path(__file__).parent / "shipped"
"""One folder a model that cmarr brings along, as `write_repository` lays it out."""

DEFAULT = "starter"
"""The model that answers where none is named and no study has one."""

CHECKSUMS = "SHA256SUMS"
"""File of a repository with the checksum of every other one, as `sha256sum` writes them."""

READ = ("*.safetensors", "*.json", CARD, CHECKSUMS)
"""What is fetched of a repository on a hub; nothing else in it is looked at."""

_REGISTRY = "models:/"
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
        return _checked(SHIPPED / name)
    if name.startswith(_REGISTRY):
        return _checked(_registered(name))
    path = Path(source).expanduser()
    if path.is_file() and path.name in (DESCRIPTION, "MLmodel"):
        path = path.parent
    if path.exists():
        return _checked(path)
    if _HUB.fullmatch(name):
        return _checked(_fetched(name, revision))
    raise UserError(
        f"{name} is not a folder, and no model of this name comes with cmarr; there are {', '.join(shipped())}"
        f"{did_you_mean(name, shipped())}; or name a folder that `cmarr export` wrote, models:/NAME/VERSION in "
        "MLflow's registry, or OWNER/NAME on the hub"
    )


def write_repository(trained: Trained, folder: str | Path, *, force: bool = False) -> Path:
    """Write the layout of a repository on a hub: an export, its card with what a hub reads, and checksums.

    Raises UserError as `export` does.
    """
    folder = export(trained, folder, force=force)
    about = trained.about
    head = ["---", "library_name: cmarr", *([f"license: {about.licence}"] if about.licence else [])]
    head += [
        "tags:",
        "- emotion-recognition",
        "- multimodal",
        "- missing-modalities",
        f"- {about.method}",
        "---",
        "",
    ]
    card = (folder / CARD).read_text(encoding="utf-8")
    write_text(folder / CARD, "\n".join([*head, card]))
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != CHECKSUMS)
    write_text(folder / CHECKSUMS, "".join(f"{file_digest(path)}  {path.name}\n" for path in files))
    return folder


def push(trained: Trained, repository: str, *, private: bool = False, token: str | None = None) -> str:
    """Put the models on the hub as `repository` (OWNER/NAME), which is made if it is not there; returns its address.

    Raises UserError where the hub refuses, or cannot be reached.
    """
    with extra("encoders"):
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
        folder = write_repository(trained, Path(scratch) / "model")
        api = HfApi(token=token)
        try:
            made = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id, folder_path=folder, commit_message=f"{trained.about.method} of cmarr"
            )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise UserError(f"{repository} cannot be written on the hub ({_first_line(error)})") from None
    return str(made)


def _checked(folder: Path) -> Trained:
    """The models of a folder; where it has checksums, every file that is read is what they say."""
    found = exported(folder)
    place = found.weights[0].parent
    sums = place / CHECKSUMS
    if sums.is_file():
        lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
        known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        for path in (place / DESCRIPTION, *found.weights):
            if not path.is_file() or known.get(path.name) != file_digest(path):
                raise UserError(
                    f"{path} is not what {sums} says; it is damaged: fetch or install the model again"
                )
    return found


def _registered(uri: str) -> Path:
    """Where the files of a model in MLflow's registry lie; its code is not run."""
    with extra("study"):
        import mlflow

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (mlflow.MlflowException, OSError) as error:
        raise UserError(
            f"{uri} cannot be read from MLflow's registry ({_first_line(error)}); MLFLOW_TRACKING_URI says which it is"
        ) from None


def _fetched(repository: str, revision: str | None) -> Path:
    with extra("encoders"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(READ)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{repository} is no folder here and cannot be fetched from the hub ({_first_line(error)}); check its name "
            "and the connection, or fetch it elsewhere and name its folder"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
