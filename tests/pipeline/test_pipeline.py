"""The real dvc.yaml on a small demo corpus, as a user runs it."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from cmarr.modalities import CONDITIONS
from tests.pipeline.project import Project, copy_of, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # the first also waits for the pipeline
PATIENCE = 900.0
"""Seconds that bound a hang, and nothing else."""
METHODS = ("cmarr", "masked", "linear")


def ran(output: str) -> list[str]:
    """Names of the stages that DVC says it ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


def opened(project: Project) -> contextlib.closing[sqlite3.Connection]:
    """MLflow's database; whoever writes to it at the moment is waited for."""
    return contextlib.closing(sqlite3.connect(project.root / "mlflow.db", timeout=PATIENCE))


def runs(project: Project) -> list[tuple[str, str]]:
    """(name, status) of every run in MLflow that is not deleted."""
    with opened(project) as database:
        query = "select name, status from runs where lifecycle_stage = 'active'"
        return sorted(database.execute(query).fetchall())


def registered(project: Project) -> list[tuple[str, int]]:
    """(name, version) of every model in MLflow's registry."""
    with opened(project) as database:
        return sorted(database.execute("select name, version from model_versions").fetchall())


def metrics(project: Project, method: str) -> bytes:
    return (project.root / f"metrics/demo/{method}.json").read_bytes()


def test_raw_media_become_a_table(project):
    for method in METHODS:
        scores = json.loads(metrics(project, method))
        assert set(scores["UAR"]) == {*CONDITIONS, "avg6", "avg7"}
        assert all(0 <= cell["mean"] <= 1 for cell in scores["WAR"].values())
    table = (project.root / "metrics/demo/report/results.md").read_text()
    assert all(f"| {row} " in table for row in (*CONDITIONS, "avg6", "avg7"))
    assert "Epoch kept: highest validation UAR" in table
    assert "leave one session out" in table


def test_every_test_utterance_is_answered_once_a_condition(project):
    manifest = pd.read_parquet(project.root / "data/demo/manifest.parquet")
    frames = [pd.read_parquet(p) for p in (project.root / "data/demo/predictions/cmarr").glob("*.parquet")]
    everything = pd.concat(frames)
    answers = everything[everything["protocol"] == "fixed"].groupby("condition")["id"].apply(sorted)
    assert set(answers.index) == set(CONDITIONS)
    assert all(ids == sorted(manifest["id"]) for ids in answers)
    rates = everything[everything["protocol"] == "rate"].groupby("level")["id"].apply(sorted)
    assert len(rates) == 8
    assert all(ids == sorted(manifest["id"]) for ids in rates)


def test_the_manifest_does_not_say_where_the_repository_lies(project):
    manifest = pd.read_parquet(project.root / "data/demo/manifest.parquet")
    assert not manifest["audio"].dropna().str.startswith("/").any()


def test_nothing_changed_means_tracking_alone_and_nothing_new(project):
    before, models = runs(project), registered(project)
    assert models == [("cmarr-demo", 1)]
    assert (
        len(before) == len(METHODS) * (1 + 3) + 1
    )  # a parent and a child a fold; the study that compares them
    assert {status for _, status in before} == {"FINISHED"}
    assert ran(project.dvc("repro")) == ["settings", "track"]
    assert (runs(project), registered(project)) == (before, models)


def test_a_new_mlflow_store_gets_every_current_result(project):
    before = runs(project)
    (project.root / "mlflow.db").unlink()
    shutil.rmtree(project.root / "mlartifacts")
    assert ran(project.dvc("repro")) == ["settings", "track"]
    assert runs(project) == before
    assert registered(project) == [("cmarr-demo", 1)]


def test_the_working_copy_stays_clean(project):
    changed = project.run("git", "status", "--porcelain").stdout.split()
    assert changed in ([], ["??", "dvc.lock"])


def test_plots_are_drawn(project):
    project.dvc("plots", "show", "-o", "dvc_plots")
    page = (project.root / "dvc_plots/index.html").read_text()
    drawn = re.findall(r'src="([^"]*)"', page)
    assert drawn[0].endswith("plots_01-results.svg") and any("confusion-cmarr-svt" in src for src in drawn)
    assert all((project.root / "dvc_plots" / src).is_file() for src in drawn), "it needs a connection"
    assert "<script src" not in page and "http-equiv" not in page


def warnings(output: str) -> list[str]:
    return [line for line in output.splitlines() if "WARNING" in line]


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
    assert len(copy.dvc("metrics", "show")) < 3000
    assert warnings(copy.dvc("status")) == []


def test_beta_reruns_cmarr_and_what_hangs_on_it(project, tmp_path):
    copy = copy_of(project, tmp_path / "copy")  # experiments leave references behind
    (copy.root / "mlflow.db").unlink()  # it knows its own artifacts' place by an absolute path
    copy.dvc("repro")
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
    assert ran(clone.dvc("repro")) == ["settings", "track"] and len(runs(clone)) == len(runs(project))
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
    training = subprocess.Popen(
        [sys.executable, *command], cwd=copy.root, env=environment(), start_new_session=True
    )
    while not list(state.glob("train-demo-cmarr-*/*")) and training.poll() is None:
        time.sleep(0.01)
    training.send_signal(signal.SIGKILL)
    training.wait()
    assert list(state.glob("train-demo-cmarr-*/*")), "nothing to go on with was saved"
    copy.run("python", *command)
    assert {p.name: p.read_bytes() for p in (copy.root / "data/demo/models/cmarr").iterdir()} == weights
    assert not list(state.glob("train-demo-cmarr-*/*")), "state of a finished training was left behind"
    copy.run("python", "-m", "stages.evaluate", "demo", "cmarr")
    assert metrics(copy, "cmarr") == expected


def test_a_user_error_is_one_sentence(project, tmp_path):
    copy = copy_of(project, tmp_path / "copy")
    text = (copy.root / "params.yaml").read_text()
    (copy.root / "params.yaml").write_text(text.replace("\nbeta: auto", "\nbtea: 0.5"))
    done = copy.run("python", "-m", "stages.settings", "demo", check=False)
    assert done.returncode == 1
    assert done.stdout.strip() == "settings: params.yaml: the key 'btea' does not exist; did you mean 'beta'?"


def test_an_unreadable_input_is_quarantined_and_counted(project, tmp_path):
    copy = copy_of(project, tmp_path / "copy")
    broken = sorted((copy.root / "data/demo/corpus/audio").iterdir())[0]
    content = broken.read_bytes()
    broken.unlink()  # DVC may have linked it into its cache
    broken.write_bytes(content[:20])
    output = copy.run("python", "-m", "stages.extract", "demo", "speech").stdout
    assert "1 quarantined" in output
    quarantine = pd.read_parquet(copy.root / "data/demo/features/speech/quarantine.parquet")
    assert quarantine["id"].tolist() == [broken.stem]
    assert str(Path(broken).name) in quarantine["reason"][0]


def test_a_bit_that_dvc_does_not_see_is_named_with_the_command_that_mends_it(project, tmp_path):
    copy = copy_of(project, tmp_path / "copy")
    assert copy.run("cmarr", "verify").stdout.endswith("files whole, 0 not\n")
    folds = copy.root / "data/demo/folds.parquet"
    content, then = bytearray(folds.read_bytes()), folds.stat()
    content[len(content) // 2] ^= 1
    folds.unlink()  # DVC may have linked it into its cache
    folds.write_bytes(content)
    os.utime(folds, ns=(then.st_atime_ns, then.st_mtime_ns))
    refused = copy.run("python", "-m", "stages.masks", "demo", check=False)
    again = "`dvc repro -f -s split` makes it again"
    assert refused.returncode == 1
    assert refused.stdout.strip() == (
        "masks: data/demo/folds.parquet is damaged: it does not hold what was written; cut the folds again "
        f"({again})"
    )
    found = copy.run("cmarr", "verify", check=False)
    assert found.returncode == 1 and "XX data/demo/folds.parquet is damaged" in found.stdout
    assert again in found.stdout and "files whole, 1 not" in found.stdout
    copy.dvc("repro", "-f", "-s", "split")
    assert copy.run("cmarr", "verify").stdout.endswith("files whole, 0 not\n")
