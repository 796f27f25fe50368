"""The `python` of `stages/warm.py` for what tests start: one process is forked from by all that test side by side."""

import fcntl
import functools
import os
import sys
import tempfile
from pathlib import Path

from stages.warm import STAGES, start

MORE = """
dvc.api dvc.cli.parser dvc.repo.experiments.executor.local dvc.repo.experiments.queue.celery dvc.cachemgr dvc.data_cloud
dvc.repo.artifacts dvc.repo.datasets dvc.repo.graph dvc.repo.plots dvc.repo.stage dvc_data.hashfile.status networkx
dvc_task.proc.manager dulwich.porcelain pygit2 hydra.core.override_parser.overrides_parser celery.bin.celery
celery.apps.worker celery.backends.filesystem git typer.main typer.completion alembic.command
sklearn.ensemble av cv2 soundfile mlflow mlflow.pyfunc
mlflow.store.model_registry.sqlalchemy_store mlflow.store.tracking.sqlalchemy_store
"""
"""What the pipeline imports besides, which would be more than a study has memory to spare for."""


@functools.cache
def folder() -> Path:
    """Where the commands `python` and `dvc` lie. The process ends with the run of the tests."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    own = Path(tempfile.gettempdir(), f"python-{run or os.getpid()}")
    own.mkdir(mode=0o700, exist_ok=True)
    with (own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (own / "python").exists():
            start(own, os.getppid() if run else os.getpid(), STAGES + MORE, named=("dvc", "python"))
    return own


def python() -> str:
    """The command itself; where forks of this kind are not to be had, Python's own."""
    return str(folder() / "python") if sys.platform == "linux" else sys.executable
