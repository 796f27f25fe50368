"""Experiments, a study that is given to others, and a training that goes on, through the real dvc.yaml."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.pipeline.project import (
    PATIENCE,
    Project,
    copy_of,
    environment,
    metrics,
    opened,
    ran,
    registered,
    runs,
    warnings,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # the first also waits for the pipeline
WIDTH = {"COLUMNS": "120"}


def readable(copy: Project) -> None:
    """What DVC shows of two experiments, a person can read."""
    (header, *_) = copy.dvc("exp", "show", "--csv").splitlines()
    columns = next(csv.reader([header]))
    assert len(columns) <= 120
    assert len([name for name in columns if name.startswith("cmarr.")]) == 10
    assert {"beta", "preset", "encoders.speech"} <= set(columns)
    table = copy.run("make", "-o", "env", "experiments", more=WIDTH).stdout
    assert all(len(line) <= 120 for line in table.splitlines()) and "…" not in table
    (half,) = (line.split() for line in table.splitlines() if "[half]" in line)
    assert "cmarr.UAR.avg6" in table and half[-1] == "0.5"
    changed = copy.dvc("metrics", "diff").splitlines()
    assert 2 <= len(changed) <= 40 and all(".cmarr." in f".{line.split()[1]}" for line in changed[1:])
    assert max(map(len, changed)) <= 120


def test_beta_reruns_cmarr_and_what_hangs_on_it(project, tmp_path):
    copy = copy_of(project, tmp_path / "copy")  # experiments leave references behind
    copy.run("git", "add", "-A")
    copy.run("git", "commit", "-q", "-m", "Run")
    before = len(runs(copy))
    output = copy.dvc("exp", "run", "-n", "half", "-S", "beta=0.5")
    assert warnings(output) == []
    readable(copy)
    assert ran(output) == ["settings", "train@cmarr", "evaluate@cmarr", "report", "track"]
    told = json.loads(copy.dvc("params", "diff", "--json").splitlines()[-1])
    assert told == {"metrics/demo/params.json": {"beta": {"old": 0.1, "new": 0.5, "diff": 0.4}}}
    assert len(runs(copy)) == before + 1 + 3 + 1  # the study has changed, too
    with opened(copy) as database:
        betas = {v for (v,) in database.execute("select value from params where key = 'beta'")}
    assert betas == {"0.1", "0.5"}

    # the same from the queue, in a temporary folder: the results appear in this repository's store
    copy.dvc("exp", "run", "--queue", "-n", "more", "-S", "beta=0.75")
    copy.dvc("queue", "start")
    deadline = time.monotonic() + PATIENCE
    while len(runs(copy)) < before + 2 * (1 + 3 + 1) and time.monotonic() < deadline:
        time.sleep(1)
    while {"Queued", "Running"} & set(copy.dvc("queue", "status").split()):  # DVC waits only 3 s for its lock
        time.sleep(2)
    assert len(runs(copy)) == before + 2 * (1 + 3 + 1)
    assert warnings(copy.dvc("queue", "logs", "more")) == []
    with opened(copy) as database:
        places = {uri for (uri,) in database.execute("select artifact_uri from runs")}
    assert all(place.startswith((copy.root / "mlartifacts").as_uri()) for place in places)

    # back to the first result: restored from the run cache, and already in MLflow
    output = copy.dvc("exp", "run", "-S", "beta=auto")
    assert "train@cmarr" not in ran(output)
    assert len(runs(copy)) == before + 2 * (1 + 3 + 1)


def test_a_study_is_given_to_others_by_a_remote(project, tmp_path):
    """The commands of docs/sharing.md, with folders for the remotes of git and DVC."""
    copy, clone = copy_of(project, tmp_path / "copy"), Project(tmp_path / "clone")
    copy.run("git", "init", "-q", "--bare", str(tmp_path / "git"))
    copy.run("git", "remote", "add", "origin", str(tmp_path / "git"))
    copy.dvc("remote", "add", "--default", "team", str(tmp_path / "store"))
    copy.run("git", "add", "dvc.lock", "params.yaml", ".dvc/config")
    copy.run("git", "commit", "-q", "-m", "Study")
    copy.dvc("exp", "save", "-n", "first")
    copy.run("git", "push", "-q", "origin", "HEAD:main")
    assert warnings(copy.dvc("push")) == []
    copy.dvc("exp", "push", "origin", "first")

    copy.run("git", "clone", "-q", "-b", "main", str(tmp_path / "git"), str(clone.root))
    assert warnings(clone.dvc("pull")) == []
    assert metrics(clone, "cmarr") == metrics(copy, "cmarr")
    assert ran(clone.dvc("repro")) == ["settings", "track"], "a new store gets every current result"
    assert (runs(clone), registered(clone)) == (runs(project), registered(project))
    assert "first" in clone.dvc("exp", "list", "--all-commits", "origin")
    clone.dvc("exp", "pull", "origin", "first")
    clone.dvc("exp", "apply", "first")
    clone.dvc("exp", "branch", "first", "kept")
    assert "kept" in clone.run("git", "branch").stdout
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_a_killed_training_goes_on_to_the_same_metrics(project, tmp_path):
    copy = copy_of(project, tmp_path / "copy")
    expected = metrics(copy, "cmarr")
    weights = {p.name: p.read_bytes() for p in (copy.root / "data/demo/models/cmarr").iterdir()}
    shutil.rmtree(copy.root / ".dvc/cache")  # or the run cache would know the answer
    shutil.rmtree(copy.root / "data/demo/models/cmarr")
    command = ["-m", "stages.train", "demo", "cmarr"]
    state = copy.root / ".cmarr/unfinished"
    itself = (
        "import os, runpy, sys; print(os.getpid(), flush=True); "
        "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    )  # what is started is not what starts it, but a fork
    with subprocess.Popen(
        ["python", "-c", itself, *command[1:]], cwd=copy.root, env=environment(), stdout=subprocess.PIPE
    ) as training:
        number = int(training.stdout.readline())
        while not list(state.glob("train-demo-cmarr-*/*")) and training.poll() is None:
            time.sleep(0.01)
        os.kill(number, signal.SIGKILL)
    assert list(state.glob("train-demo-cmarr-*/*")), "nothing to go on with was saved"
    copy.run("python", *command)
    assert {p.name: p.read_bytes() for p in (copy.root / "data/demo/models/cmarr").iterdir()} == weights
    assert not list(state.glob("train-demo-cmarr-*/*")), "state of a finished training was left behind"
    copy.run("python", "-m", "stages.evaluate", "demo", "cmarr")
    assert metrics(copy, "cmarr") == expected
