"""A `python` that has imported already: what is started with it is forked, and imports this project's code alone.

Dozens of commands of the pipeline's tests would each import DVC, torch and MLflow anew, which takes longer than what
they do. `folder()` has a process import these once, and holds commands `python` and `dvc`: with the folder first on
the PATH, `python -m MODULE ...` and `python -c CODE ...` are forks of that process, and so is what they start in the
same way. Each has the folder, the environment and the open files of who called it, and imports cmarr from where it is
called.
"""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

IMPORTED = """
dvc.api dvc.cli.parser dvc.repo.experiments.executor.local dvc.repo.experiments.queue.celery
torch torch._dynamo safetensors.torch nflows.transforms pandas pyarrow.parquet
scipy.optimize scipy.stats sklearn.ensemble sklearn.linear_model sklearn.manifold threadpoolctl
matplotlib.backends.backend_svg matplotlib.figure jinja2 av cv2 soundfile filelock pydantic ruamel.yaml
mlflow mlflow.pyfunc mlflow.store.model_registry.sqlalchemy_store mlflow.store.tracking.sqlalchemy_store
"""
"""Modules of others. One that is not there, or no longer, costs time and nothing else."""

CALL = """
import json, os, signal, socket, sys
place = sys.argv.pop(1)
if sys.argv[1:2] not in (["-m"], ["-c"]):
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect(place)
socket.send_fds(server, [b"."], [0, 1, 2])
order = {"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
server.sendall(json.dumps(order).encode() + b"\\n")
status = int(server.makefile().readline() or 70)
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""

PR_SET_PDEATHSIG = 1


@functools.cache
def folder() -> Path:
    """Where the command lies. One process is forked from by all that test side by side; it ends with their run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    own, outlived = (
        Path(tempfile.gettempdir(), f"python-{run or os.getpid()}"),
        os.getppid() if run else os.getpid(),
    )
    own.mkdir(mode=0o700, exist_ok=True)
    with (own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (own / "python").exists():
            words = [sys.executable, "-P", __file__, str(own), str(outlived)]
            server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
            with server.stdout as told:
                if told.readline() != "ready\n":
                    raise RuntimeError("the python that has imported did not come up")
            server.returncode = 0  # it ends after this process: nobody waits for it
    return own


def python() -> str:
    """The command itself; where forks of this kind are not to be had, Python's own."""
    return str(folder() / "python") if sys.platform == "linux" else sys.executable


@dataclass(frozen=True)
class Call:
    """A command under way."""

    pid: int
    ended: int
    caller: socket.socket


def serve(own: Path, outlived: int) -> None:
    """Import, write the command, and fork whenever it is called, until the process that tests has ended."""
    waiting = selectors.DefaultSelector()
    waiting.register(os.pidfd_open(outlived), selectors.EVENT_READ, "the end")
    for name in IMPORTED.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError(f"an import has started threads, which no fork has: {threading.enumerate()}")
    gc.collect()
    gc.freeze()  # so that what is shared stays shared
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(own / "socket"))
    listening.listen()
    waiting.register(listening, selectors.EVENT_READ, "a call")
    calling = shlex.join([sys.executable, "-I", "-S", "-c", CALL, str(own / "socket")])
    for name, words in (("dvc", "-m dvc "), ("python", "")):
        (own / name).write_text(f'#!/bin/sh\nexec {calling} {words}"$@"\n')
        (own / name).chmod(0o755)
    sys.executable = str(own / "python")  # of the forks
    print("ready", flush=True)
    while "the end" not in (ready := {key.data for key, _ in waiting.select()}):
        for call in ready:
            if isinstance(call, Call):
                waiting.unregister(call.ended)
                waiting.unregister(call.caller)
                end(call)
            else:
                begun = begin(listening.accept()[0])
                waiting.register(begun.ended, selectors.EVENT_READ, begun)
                waiting.register(begun.caller, selectors.EVENT_READ, begun)
    shutil.rmtree(own)


def begin(caller: socket.socket) -> Call:
    """Fork what the caller asks for."""
    _, files, _, _ = socket.recv_fds(caller, 1, 3)
    with caller.makefile() as told:
        order = json.loads(told.readline())
    server = os.getpid()
    if not (pid := os.fork()):
        status = 70
        try:
            die_with_the_parent()
            if os.getppid() == server:
                for number, file in enumerate(files):
                    os.dup2(file, number)
                status = run(order["arguments"], order["folder"], order["environment"])
        finally:
            os._exit(status)
    for file in files:
        os.close(file)
    return Call(pid, os.pidfd_open(pid), caller)


def end(call: Call) -> None:
    """Tell the caller how it ended; if the caller has ended first, end it."""
    os.kill(call.pid, signal.SIGKILL)  # nothing to what has ended already and is not waited for yet
    status = os.waitstatus_to_exitcode(os.waitpid(call.pid, 0)[1])
    with contextlib.suppress(OSError):
        call.caller.sendall(f"{status}\n".encode())
    os.close(call.ended)
    call.caller.close()


def run(arguments: Sequence[str], folder: str, environment: dict[str, str]) -> int:
    """Do in a fork what `python` with these arguments does; returns the exit status."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.orig_argv = ["python", *arguments]
    if "PYTHONPATH" in environment:  # what Python reads first, from there
        sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
        with contextlib.suppress(ImportError):
            importlib.import_module("sitecustomize")
    match list(arguments):
        case ["-m", module, *rest]:
            sys.argv, sys.path[:0] = ["-m", *rest], [folder]
            return finished(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))
        case [_, code, *rest]:
            sys.argv, sys.path[:0] = ["-c", *rest], [""]
            main = sys.modules["__main__"] = ModuleType("__main__")
            return finished(lambda: exec(compile(code, "<string>", "exec"), vars(main)))
    raise AssertionError(f"the command hands on {arguments}")


def finished(work: Callable[[], object]) -> int:
    """Do it, and whatever Python does at its end."""
    status = 0
    try:
        work()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if not isinstance(ended.code, int | None):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def die_with_the_parent() -> None:
    """Also when that is killed: what is begun does not outlast the run of the tests."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
