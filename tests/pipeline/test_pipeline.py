"""The real dvc.yaml on a small demo corpus, as a user runs it."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from cmarr.modalities import CONDITIONS
from tests.pipeline.project import Project, copy_of, metrics, ran, registered, runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # the first also waits for the pipeline
METHODS = ("cmarr", "linear")


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


@pytest.fixture(scope="module")
def copy(project, tmp_path_factory) -> Project:
    """What the tests from here on damage, each on top of the one before."""
    return copy_of(project, tmp_path_factory.mktemp("copy"))


def test_a_user_error_is_one_sentence(copy):
    text = (copy.root / "params.yaml").read_text()
    copy.edit(**{"\nbeta: auto": "\nbtea: 0.5"})
    done = copy.run("python", "-m", "stages.settings", "demo", check=False)
    (copy.root / "params.yaml").write_text(text)
    assert done.returncode == 1
    assert done.stdout.strip() == "settings: params.yaml: the key 'btea' does not exist; did you mean 'beta'?"


def test_a_bit_that_dvc_does_not_see_is_named_with_the_command_that_mends_it(copy):
    verify = ["python", "-m", "cmarr.cli", "verify"]
    assert copy.run(*verify).stdout.endswith("files whole, 0 not\n")
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
    found = copy.run(*verify, check=False)
    assert found.returncode == 1 and "XX data/demo/folds.parquet is damaged" in found.stdout
    assert again in found.stdout and "files whole, 1 not" in found.stdout
    copy.dvc("repro", "-f", "-s", "split")
    assert copy.run(*verify).stdout.endswith("files whole, 0 not\n")


def test_an_unreadable_input_is_quarantined_and_counted(copy):
    broken = sorted((copy.root / "data/demo/corpus/audio").iterdir())[0]
    content = broken.read_bytes()
    broken.unlink()  # DVC may have linked it into its cache
    broken.write_bytes(content[:20])
    output = copy.run("python", "-m", "stages.extract", "demo", "speech").stdout
    assert "1 quarantined" in output
    quarantine = pd.read_parquet(copy.root / "data/demo/features/speech/quarantine.parquet")
    assert quarantine["id"].tolist() == [broken.stem]
    assert str(Path(broken).name) in quarantine["reason"][0]
