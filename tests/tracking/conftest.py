import shutil
import warnings

import pytest

from cmarr.tracking import store
from cmarr.tracking.results import FoldResult, Results


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """MLflow's variables are unset before a test, and what tracking sets is gone after it."""
    for name in ("MLFLOW_TRACKING_URI", *store.DEFAULTS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database as `prepare` makes it; making one takes seconds, so tests copy this one."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        store.prepare(root)
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path, empty_database):
    """A project folder with an empty, up-to-date MLflow database."""
    folder = tmp_path / "my project"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def example():
    """A function that makes a small finished result."""
    return small_result


def small_result(beta=0.1, **changes):
    content = {
        "dataset": "demo",
        "method": "cmarr",
        "settings": {"beta": beta, "train": {"lr": 0.001}, "seeds": [0, 1]},
        "metrics": {
            "UAR": {
                "st": {"mean": 0.6 + beta / 10, "std": 0.02, "lo": 0.5, "hi": 0.7, "n": 2},
                "v": {"mean": None, "std": None, "lo": None, "hi": None, "n": 0},
                "avg6": {"mean": 0.55, "std": 0.03, "lo": 0.5, "hi": 0.6, "n": 2},
            }
        },
        "data_hash": "0123456789abcdef0123456789abcdef.dir",
        "highlights": {"beta": beta},
        "folds": [
            FoldResult(
                fold,
                seed=0,
                metrics={"UAR/st": 0.58 + fold / 50, "UAR/v": None},
                curves=[(epoch, "total", 2.0 / (1 + epoch) + fold) for epoch in range(3)],
                cost={"seconds": 1.5},
            )
            for fold in range(2)
        ],
    }
    return Results(**{**content, **changes})
