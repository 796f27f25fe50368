"""Settings of every test."""

import os

# Two numeric libraries with two threads each on two cores make small tests ten times slower. Set before they load.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# Ray looks once in the life of a process whether a token is wanted, whichever test asks it first.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}


def pytest_xdist_auto_num_workers(config):
    """One more process than there are cores: tests wait a fifth of their time for what they have started."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


def pytest_collection_modifyitems(items):
    """Files with slow tests first: one that is begun last keeps a single process busy while the others are idle.

    `make test` keeps xdist from ordering them anew (--no-loadscope-reorder). Of the two that need the pipeline, one
    comes after the other slow ones, when the pipeline has been run.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name == "test_studies.py"))
