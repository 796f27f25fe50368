"""A `python` that has imported already: what is started with it is forked, and imports this project's code alone.

python -m stages.warm dvc repro     runs the command with such a `python` first on its PATH

A study's stages are dozens of processes, each of which would import torch and its like anew; that takes longer than
what many of them do. Here one process imports them once, and `python -m MODULE ...` and `python -c CODE ...` are forks
of it. Each has the folder, the environment and the open files of who called it, imports cmarr from where it is called,
and ends with its caller. Where no process can be forked like that, `python` is Python.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import multiprocessing.spawn
import os
import re
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

STAGES = """
torch torch._dynamo safetensors.torch nflows.transforms nflows.flows
pandas pandas.io.formats.csvs pyarrow.parquet pyarrow.dataset pyarrow.pandas_compat
scipy.optimize scipy.signal scipy.stats threadpoolctl
sklearn.feature_extraction.text sklearn.linear_model sklearn.manifold narwhals.stable.v2 narwhals._pandas_like.dataframe
email.contentmanager email.headerregistry email.policy
matplotlib.backends.backend_svg matplotlib.figure jinja2 filelock pydantic ruamel.yaml
"""
"""Modules of others that most stages import, or that take long. One that is not there, or no longer, costs time and
nothing else."""

CALL = """
import json, os, signal, socket, sys
place, *words = sys.argv[1:]
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
def plain():
    os.execv(sys.executable, [sys.executable, *words])
if words[:2] == ["-P", "-c"]:  # how one fork starts another, to which it gives its sys.path
    del words[0]
if words[:1] not in (["-m"], ["-c"]) and words[:2] != ["-P", "-m"] or "resource_tracker" in words[1]:
    plain()
files = [int(name) for name in os.listdir("/proc/self/fd")]
files = [file for file in files if file < 3 or os.path.exists(f"/proc/self/fd/{file}") and os.get_inheritable(file)]
server = socket.socket(socket.AF_UNIX)
told = server.makefile()
try:
    server.connect(place)
    socket.send_fds(server, [b"."], files)
    order = {"files": files, "arguments": words, "folder": os.getcwd(), "environment": dict(os.environ)}
    server.sendall(json.dumps(order).encode() + b"\\n")
    begun = told.readline()
except OSError:
    begun = ""
if not begun:
    plain()
status = int(told.readline() or 70)
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""

PR_SET_PDEATHSIG = 1

MADV_DONTNEED = 4

MOST_FILES = 253
"""That one process can give to another at once."""


def main(command: list[str]) -> None:
    """Become the command, with the `python` that has imported first on its PATH."""
    if sys.platform == "linux":
        own = Path(tempfile.mkdtemp(prefix="python-"))
        start(own, os.getpid(), STAGES)
        os.environ["PATH"] = f"{own}{os.pathsep}{os.environ['PATH']}"
    os.execvp(command[0], command)


def start(own: Path, outlived: int, modules: str, named: Sequence[str] = ("python",)) -> None:
    """Start the process that is forked, until the process `outlived` ends.

    The folder `own` holds the commands from now on, `python` and modules that are `named` like it; who calls them
    before the imports are done waits.
    """
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(own / "socket"))
        listening.listen(64)
        words = [sys.executable, "-P", __file__, str(listening.fileno()), str(own), str(outlived), modules]
        nothing, files = subprocess.DEVNULL, [listening.fileno()]
        process = subprocess.Popen(
            words, stdin=nothing, stdout=nothing, pass_fds=files, start_new_session=True
        )
        process.returncode = 0  # nobody waits for it
    calling = shlex.join([sys.executable, "-I", "-S", "-c", CALL, str(own / "socket")])
    for name in named:
        (own / name).write_text(
            f'#!/bin/sh\nexec {calling} {"" if name == "python" else f"-m {name} "}"$@"\n'
        )
        (own / name).chmod(0o755)


@dataclass(frozen=True)
class Call:
    """A command under way."""

    pid: int
    ended: int
    caller: socket.socket


def serve(listening: socket.socket, own: Path, outlived: int, modules: str) -> None:
    """Import, and fork whenever a command is called, until the process `outlived` has ended."""
    waiting = selectors.DefaultSelector()
    waiting.register(os.pidfd_open(outlived), selectors.EVENT_READ, "the end")
    waiting.register(listening, selectors.EVENT_READ, "a call")
    bring(modules)
    sys.executable = str(own / "python")  # of the forks
    multiprocessing.spawn.set_executable(sys.executable)
    while "the end" not in (ready := {key.data for key, _ in waiting.select()}):
        for call in ready:
            if isinstance(call, Call):
                waiting.unregister(call.ended)
                waiting.unregister(call.caller)
                end(call)
            elif begun := begin(listening.accept()[0]):
                waiting.register(begun.ended, selectors.EVENT_READ, begun)
                waiting.register(begun.caller, selectors.EVENT_READ, begun)
    shutil.rmtree(own)


def bring(names: str) -> None:
    """Import what is there of these, so that all forks share it."""
    gc.disable()  # a third of the time that imports take
    for name in names.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.enable()
    if threading.active_count() > 1:
        raise RuntimeError(f"an import has started threads, which no fork has: {threading.enumerate()}")
    with contextlib.suppress(OSError):
        give_back()


def give_back() -> None:
    """Let go of what this process has only read of libraries, 300 MB; who needs it finds it in the system's cache."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    areas = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    for area in areas:
        place = re.match(r"([0-9a-f]+)-([0-9a-f]+) .-.. \S+ \S+ [1-9]\d* ", area)
        if place and re.search(r"^Anonymous: +0 kB$", area, re.MULTILINE):  # no page of it is its own
            begin, end = (int(number, 16) for number in place.groups())
            madvise(begin, end - begin, MADV_DONTNEED)


def begin(caller: socket.socket) -> Call | None:
    """Fork what the caller asks for; None where it is gone already."""
    try:
        _, files, _, _ = socket.recv_fds(caller, 1, MOST_FILES)
        with caller.makefile() as told:
            order = json.loads(told.readline())
    except (OSError, ValueError):
        return None
    server = os.getpid()
    if not (pid := os.fork()):
        status = 70
        try:
            ctypes.CDLL(None).prctl(
                PR_SET_PDEATHSIG, signal.SIGKILL
            )  # ends with its parent, also a killed one
            if os.getppid() == server:
                take(dict(zip(order["files"], files, strict=True)))
                status = run(order["arguments"], order["folder"], order["environment"])
        finally:
            os._exit(status)
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):
        caller.sendall(b"begun\n")
    return Call(pid, os.pidfd_open(pid), caller)


def take(files: Mapping[int, int]) -> None:
    """Have the caller's files by their numbers there, and none of this process."""
    apart = {
        number: fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 2 * MOST_FILES) for number, file in files.items()
    }
    os.closerange(0, 2 * MOST_FILES)
    for number, file in apart.items():
        os.dup2(file, number)
        os.close(file)


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
    threads, loaded_for = (variables.get("OMP_NUM_THREADS") for variables in (environment, os.environ))
    if threads and threads != loaded_for:  # which libraries look at when they are loaded, and never again
        with contextlib.suppress(ImportError, ValueError):
            importlib.import_module("threadpoolctl").threadpool_limits(int(threads))
    os.environ.clear()
    os.environ.update(environment)
    sys.orig_argv = ["python", *arguments]
    if "PYTHONPATH" in environment:  # what Python reads first, from there
        sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
        with contextlib.suppress(ImportError):
            importlib.import_module("sitecustomize")
    match list(arguments):
        case ["-m", module, *rest] | ["-P", "-m", module, *rest]:
            sys.argv, sys.path[:0] = ["-m", *rest], [folder] * (arguments[0] == "-m")
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
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as at the end of Python
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    if __spec__ is not None:
        main(sys.argv[1:])
    else:  # as a file, by `start`: nothing of the project is imported
        number, place, until, modules = sys.argv[1:]
        serve(socket.socket(fileno=int(number)), Path(place), int(until), modules)
