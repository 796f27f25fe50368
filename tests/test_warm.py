"""The `python` that has imported already does what Python does."""

import os
import select
import signal
import subprocess
import sys

import pytest

from stages.warm import start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Python is started instead")

WORKERS = """
import multiprocessing, os, sys
def parent():
    process = multiprocessing.get_context("spawn").Process(target=print, args=(f"asked by {os.getpid()}",))
    process.start()
    process.join()
    print(os.getpid(), os.getppid(), "colorsys" in sys.modules, process.exitcode)
parent()
"""


@pytest.fixture
def say(tmp_path):
    start(tmp_path, os.getpid(), "colorsys not_there")

    def run(code: str, *words: str, **options) -> subprocess.CompletedProcess:
        command = [str(tmp_path / "python"), "-c", code, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    return run


def test_a_fork_has_the_folder_the_arguments_the_variables_and_the_open_files_of_its_caller(say, tmp_path):
    reading, writing = os.pipe()
    code = (
        "import os, sys; os.write(int(sys.argv[1]), input().encode()); print(os.getcwd(), os.environ['MINE'])"
    )
    done = say(code, str(writing), input="told\n", cwd=tmp_path, env={"MINE": "1"}, pass_fds=[writing])
    assert (done.stdout, done.stderr) == (f"{tmp_path} 1\n", "")
    assert os.read(reading, 10) == b"told"
    os.close(reading)
    os.close(writing)


def test_it_ends_as_python_does(say):
    refused = say("import sys; sys.exit('no')")
    assert (refused.returncode, refused.stderr) == (1, "no\n")
    assert say("import sys; sys.exit(3)").returncode == 3
    assert "ZeroDivisionError" in say("1 / 0").stderr
    assert say("import os; os.kill(os.getpid(), 15)").returncode == -signal.SIGTERM


def test_a_fork_ends_with_its_caller(say, tmp_path):
    command = [tmp_path / "python", "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        ended = os.pidfd_open(int(caller.stdout.readline()))
        caller.terminate()  # SIGINT is ignored by what a shell has started in the background
        assert caller.wait() == -signal.SIGTERM
    assert select.select([ended], [], [], 120)[0]
    os.close(ended)


def test_a_fork_has_workers_and_without_the_process_that_is_forked_it_is_python(say):
    told = say(WORKERS).stdout.splitlines()
    own, server, imported, status = told[1].split()
    assert (told[0], imported, status) == (f"asked by {own}", "True", "0")
    os.kill(int(server), signal.SIGKILL)
    own, caller, imported, status = say(WORKERS).stdout.splitlines()[1].split()
    assert (caller, imported, status) == (str(os.getpid()), "False", "0")
