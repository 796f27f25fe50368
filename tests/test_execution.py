"""Units of work in processes: same results, clear endings, nobody left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tqdm import tqdm

from cmarr.errors import UserError
from cmarr.execution.jobs import run_jobs
from cmarr.execution.local import worker_count

OPTIONS = {"threads": 1, "label": "test", "unit": "step", "units_per_job": 1}


@pytest.fixture(autouse=True)
def light(tmp_path_factory, monkeypatch):
    """Workers find an empty module under the name of torch: the real one takes a second to import."""
    import torch  # noqa: F401  the real one, for this process

    folder = tmp_path_factory.mktemp("light")
    (folder / "torch.py").write_text("def set_num_threads(threads): pass\n")
    monkeypatch.syspath_prepend(folder)


def square(job, tick):
    import torch

    tick()
    return job**2, torch.get_num_threads()


def refuse(job, tick):
    if job == 1:
        raise UserError("job 1 cannot be done")
    return job


def die(marker, tick):
    if multiprocessing.parent_process():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while not marker.exists():  # the parent works too
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers, monkeypatch):
    import torch

    monkeypatch.undo()  # the workers', too, is the real one
    before = torch.get_num_threads()
    try:
        results = run_jobs(square, [3, 1, 2], workers=workers, **OPTIONS)
    finally:
        torch.set_num_threads(before)
    assert results == [(9, 1), (1, 1), (4, 1)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_jobs_error_reaches_the_user(workers):
    with pytest.raises(UserError, match="job 1 cannot be done"):
        run_jobs(refuse, [0, 1, 2], workers=workers, **OPTIONS)


def test_a_dead_worker_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="a worker process died"):
        run_jobs(die, [tmp_path / "died"] * 3, workers=2, **OPTIONS)


def die_in_the_middle(job, tick):
    """Killed when half of a message to the parent is written: a result of so many bytes, or a tick."""
    marker, size = job
    if multiprocessing.parent_process():

        def half(connection, message):
            os.write(connection.fileno(), message[: len(message) // 2])
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

        Connection._send = half
        if not size:
            tick()
        return bytes(size)
    while not marker.exists():
        time.sleep(0.01)


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_a_worker_that_dies_while_it_tells_something_holds_nobody_up(tmp_path, size):
    with pytest.raises(UserError, match="a worker process died"):
        run_jobs(die_in_the_middle, [(tmp_path / "died", size)] * 5, workers=3, **OPTIONS)


def stumble(job, tick):
    if multiprocessing.parent_process():
        raise ZeroDivisionError("a defect")
    time.sleep(job)


def test_a_defect_in_a_worker_is_told_with_the_place_where_it_was():
    with pytest.raises(ZeroDivisionError) as caught:
        run_jobs(stumble, [0, 1], workers=2, **OPTIONS)
    assert "in stumble" in caught.value.__notes__[0]


class Pair(Exception):
    """Can be sent and not be made again: unpickling calls it with one argument."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class RefusedPair(Pair, UserError):
    pass


class Unknown:
    """Can be sent to a worker and not be made there."""

    def __reduce__(self):
        return _refuse_in_a_worker, ()


def _refuse_in_a_worker():
    raise LookupError("there is no such thing here")


def come_to(job, tick):
    """Something that another process cannot be told as it is."""
    if not multiprocessing.parent_process():
        return None
    if job == "an exception that cannot be sent":
        error = ValueError("the reason")
        error.lock = threading.Lock()
        raise error
    if job == "an exception that cannot be made again":
        raise Pair("this", "that")
    if job == "a sentence that cannot be made again":
        raise RefusedPair("this", "that")
    return threading.Lock()


@pytest.mark.parametrize(
    ("job", "kind", "message", "place"),
    [
        ("an exception that cannot be sent", RuntimeError, "ValueError: the reason", "in come_to"),
        ("an exception that cannot be made again", RuntimeError, "Pair: this and that", "in come_to"),
        ("a sentence that cannot be made again", UserError, "^this and that$", None),
        ("a result that cannot be sent", TypeError, "cannot pickle", "in _result_of"),
        (Unknown(), LookupError, "no such thing", "in _refuse_in_a_worker"),
    ],
    ids=[
        "unsendable error",
        "unloadable error",
        "unloadable sentence",
        "unsendable result",
        "unloadable job",
    ],
)
def test_what_a_worker_cannot_tell_as_it_is_is_told_as_well_as_can_be(job, kind, message, place, capfd):
    with pytest.raises(kind, match=message) as caught:
        run_jobs(come_to, [job, "the parent's"], workers=2, **OPTIONS)
    notes = getattr(caught.value, "__notes__", [])
    assert any(place in note for note in notes) if place else not notes
    assert "Traceback" not in capfd.readouterr().err  # the worker lives


def tell(job, tick):
    for _ in range(job):
        tick()


def test_progress_of_all_workers_is_counted(monkeypatch):
    bars = []
    monkeypatch.setattr("cmarr.progress.tqdm", lambda **options: bars.append(tqdm(**options)) or bars[0])
    with monkeypatch.context() as patch:
        patch.setattr(sys.stderr, "isatty", lambda: True)
        run_jobs(tell, [500] * 6, workers=2, **OPTIONS | {"units_per_job": 500})
    assert bars[0].n == bars[0].total == 3000


def note(job, tick):
    path, number, pause, fails = job
    with path.open("a") as log:
        log.write(f"{number}\n")
    time.sleep(pause)
    if fails:
        raise UserError("this one fails")


def test_each_job_is_done_once(tmp_path):
    log = tmp_path / "log"
    run_jobs(note, [(log, i, 0.2, False) for i in range(40)], workers=2, **OPTIONS)
    assert sorted(map(int, log.read_text().split())) == list(range(40))


def test_after_an_error_nothing_more_is_begun(tmp_path):
    log = tmp_path / "log"
    jobs = [(log, i, 0.0 if i == 19 else 1.0, i == 19) for i in range(20)]
    with pytest.raises(UserError, match="this one fails"):
        run_jobs(note, jobs, workers=2, **OPTIONS)
    assert len(log.read_text().split()) <= 3  # the parent's, and what the worker had in hand


def test_workers_from_cores():
    cores = len(os.sched_getaffinity(0))
    assert worker_count("auto") == cores
    assert worker_count("auto", threads=cores + 1) == 1
    assert worker_count(5) == 5


PARENT = """
import os, sys, time
from cmarr.execution.jobs import run_jobs

def wait(job, tick):
    os.write(1, f"{os.getpid()}\\n".encode())  # whole: print writes the line's end apart where nothing is buffered
    time.sleep(60)

if __name__ == "__main__":
    run_jobs(wait, [0, 1], workers=2, threads=1, label="test", unit="step", units_per_job=1)
"""


def alive(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is signalled by Linux only")
def test_workers_die_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, str(script)], env=here, stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            pids = [int(parent.stdout.readline()) for _ in range(2)]
        finally:
            parent.kill()
    deadline = time.monotonic() + 120
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def test_libraries_that_a_unit_loads_itself_have_its_threads_too(tmp_path):
    """A pool of a BLAS of its own would take both cores, and add in another order."""
    code = (
        "from cmarr.execution.local import set_threads; set_threads(1)\n"
        "import scipy.linalg, sklearn.ensemble, threadpoolctl\n"
        "found = threadpoolctl.threadpool_info()\n"
        "assert len(found) > 2 and all(own['num_threads'] == 1 for own in found), found\n"
    )
    alone = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    found = subprocess.run(
        [sys.executable, "-c", code], env=alone, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
