"""Settings of every test."""

import gc
import os
from collections import Counter
from pathlib import Path

import pytest

# Two numeric libraries with two threads each on two cores make small tests ten times slower. Set before they load.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# Ray looks once in the life of a process whether a token is wanted, whichever test asks it first.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}


# What is imported while tests are collected stays: looking for garbage in it is a third of the time that imports take.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # libraries that tests import are as large
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def workers_that_stay():
    """Processes that decode serve one test after the other."""
    from tests.standing_workers import standing_workers

    with standing_workers():
        yield


def pytest_xdist_auto_num_workers(config):
    """One more process than there are cores: tests wait a fifth of their time for what they have started."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


FIRST = ["pipeline/test_pipeline.py", "test_cluster.py"]
"""Files that take longest. The first also runs the pipeline, which the others of its folder wait for."""

LONG = {
    *("test_cli.py", "test_code_digest.py", "test_files.py", "test_guides.py", "test_site.py"),
    *(
        "damage/test_stages.py",
        "denseface/test_card.py",
        "denseface/test_stages.py",
        "denseface/test_training.py",
    ),
    *("finetuning/test_stages_of_finetuning.py", "recognition/test_export.py", "settings/test_manual.py"),
    *("study/test_notebooks.py", "tracking/test_mirror.py", "training/test_determinism.py"),
    *(f"recognition/test_{name}.py" for name in ("budgets", "hostile_files", "page", "server")),
}
"""Of the others, those that take more than five seconds."""


def pytest_collection_modifyitems(items):
    """Long files first: one that is begun last keeps a single process busy while the others are idle.

    `make test` keeps xdist from ordering them anew (--no-loadscope-reorder). Of those that need the pipeline, one is
    the very first, and the others come after what else is slow, when the pipeline has been run. At the end are the
    files of fewest tests.
    """
    here = Path(__file__).parent
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    tests = Counter(item.path for item in items)

    def place(item):
        name = item.path.relative_to(here).as_posix()
        begun = FIRST.index(name) if name in FIRST else len(FIRST)
        long = item.path in slow or name in LONG
        return not long, begun, name.startswith("pipeline/"), 0 if long else -tests[item.path]

    items.sort(key=place)
