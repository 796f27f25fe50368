"""The pipeline, run once for all tests of this folder."""

import fcntl
import shutil
from pathlib import Path

import pytest

from tests.pipeline.project import NOTED, Project, copy_of, copy_of_the_project


@pytest.fixture(scope="session")
def project(tmp_path_factory, worker_id) -> Project:
    """A small copy of this repository after `dvc repro`, run by one of the processes that test; the others copy it."""
    mine = tmp_path_factory.mktemp("project")
    if worker_id == "master":
        return run(mine)
    shared = tmp_path_factory.getbasetemp().parent / "project"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shared.exists():
            return copy_of(Project(shared), mine)
        project = run(mine)
        unfinished = shared.with_name("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that ended in the middle
        copy_of(project, unfinished, shared).root.rename(shared)
        return project


def run(target: Path) -> Project:
    """What each stage imports and opens is noted, for the test that its closure has it all."""
    copy = copy_of_the_project(target)
    noted = copy.root / NOTED
    noted.mkdir(parents=True)
    copy.dvc("repro", more={"NOTED": str(noted), "PYTHONPATH": str(Path(__file__).with_name("noting"))})
    return copy
