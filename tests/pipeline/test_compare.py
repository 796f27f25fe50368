"""`cmarr compare` in a small repository of git and DVC, whose one stage copies predictions that were made before."""

import shutil

import pytest
from typer.testing import CliRunner

from cmarr.cli import app
from cmarr.evaluation.predictions import predictions_path, write_predictions
from cmarr.evaluation.summary import summarise
from tests.evaluation.conftest import EMOTIONS, simulated
from tests.pipeline.project import ROOT, Project
from tests.warm import python

pytestmark = pytest.mark.slow

PIPELINE = """
stages:
  evaluate:
    foreach: ${methods}
    do:
      cmd: mkdir -p data/${dataset}/predictions && cp -r made/${beta}/${item} data/${dataset}/predictions/${item}
      params:
        - beta
      outs:
        - data/${dataset}/predictions/${item}
"""
STRENGTHS = {("0.1", "cmarr"): 0.2, ("0.5", "cmarr"): 4.0, ("0.1", "masked"): 1.0, ("0.5", "masked"): 1.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Project:
    """beta 0.1 is the commit, 0.5 the experiment `strong`; the workspace is back at the commit."""
    project = Project(tmp_path_factory.mktemp("study"))
    for name in ("cmarr", "stages", "presets"):
        (project.root / name).symlink_to(ROOT / name)
    text = (ROOT / "params.yaml").read_text().replace("\nbeta: auto", "\nbeta: 0.1")
    (project.root / "params.yaml").write_text(text.replace("\n- linear\n- gaussian\n- anchored\n", "\n", 1))
    (project.root / "dvc.yaml").write_text(PIPELINE)
    for (beta, method), strength in STRENGTHS.items():
        for frame in simulated(strength=strength, folds=4, seeds=(1,)):
            path = predictions_path(project.root / "made" / beta / method, frame["fold"][0], frame["seed"][0])
            write_predictions(path, frame, EMOTIONS)
    project.run("git", "init", "-q")
    project.dvc("init", "-q")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "Start")
    project.run("git", "tag", "before")
    project.dvc("repro", "-q")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "Run")
    project.dvc("exp", "run", "-q", "-n", "strong", "-S", "beta=0.5")
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout", "-q")
    return project


def compare(project: Project, *arguments: str) -> tuple[int, str]:
    words = ["compare", *arguments, "--params", str(project.root / "params.yaml")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.executable", python())
        result = CliRunner().invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def state(project: Project) -> tuple[str, list[bytes]]:
    predictions = sorted((project.root / "data/demo/predictions").rglob("*.parquet"))
    return project.run("git", "status", "--porcelain").stdout, [path.read_bytes() for path in predictions]


def test_an_experiment_is_compared_with_the_workspace_which_stays_as_it_is(study):
    before = state(study)
    status, output = compare(study, "strong")
    assert status == 0, output
    assert state(study) == before
    first, second = output.split("demo, masked: strong - workspace")
    assert second.strip() == "the same answers to every utterance"
    line = next(line for line in first.splitlines() if line.startswith("avg6")).split()
    strong, weak = (
        summarise(simulated(strength=s, folds=4, seeds=(1,)), EMOTIONS, resamples=10)["UAR"]["avg6"]["mean"]
        for s in (4.0, 0.2)
    )
    assert [line[1], line[4], line[7]] == [
        f"{100 * strong:.2f}",
        f"{100 * weak:.2f}",
        f"{100 * (strong - weak):+.2f}",
    ]
    assert line[-1] == "better"


def test_two_revisions_and_another_metric(study):
    status, output = compare(study, "HEAD", "strong", "--method", "cmarr", "--metric", "WAR")
    assert status == 0, output
    assert "demo, cmarr: HEAD - strong\nWAR in %" in output
    assert "masked" not in output


def test_two_methods_of_the_workspace(study):
    status, output = compare(study, "cmarr", "masked", "--methods")
    assert status == 0, output
    assert "demo: cmarr - masked" in output
    assert any(line.startswith("avg7") and line.endswith("worse") for line in output.splitlines())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("stron",), "no experiment or git revision is called 'stron'; did you mean 'strong'?"),
        (("strong", "--method", "cmar"), "there are cmarr, masked; did you mean 'cmarr'?"),
        (("strong", "--metric", "UAT"), "did you mean 'UAR'?"),
        (("strong", "--dataset", "mosi"), "strong holds no predictions of the dataset mosi"),
        (("before",), "make them: `git checkout before`, `dvc repro`, and commit dvc.lock"),
        (("cmarr", "linear", "--methods"), "workspace holds no predictions of 'linear'"),
    ],
)
def test_errors_say_what_to_do(study, arguments, told):
    status, output = compare(study, *arguments)
    assert status == 1
    assert told in output.replace("\n", " ")
    assert len(output.strip().splitlines()) == 1


def test_results_whose_lock_nobody_committed_get_a_name(study, tmp_path):
    """As after `make demo` in a fresh clone: git knows nothing of what was computed."""
    clone = Project(tmp_path / "clone")
    shutil.copytree(study.root, clone.root, symlinks=True)
    clone.run("git", "rm", "-q", "--cached", "dvc.lock")
    clone.run("git", "commit", "-q", "-m", "As cloned")
    clone.dvc("exp", "save", "-n", "first")
    clone.dvc("exp", "run", "-q", "-n", "half", "-S", "beta=0.5")
    status, output = compare(clone, "half", "first")
    assert status == 0, output
    assert "demo, cmarr: half - first" in output and "better" in output
    assert "\nbeta: 0.5" in (clone.root / "params.yaml").read_text()
    clone.dvc("exp", "apply", "first")
    assert "\nbeta: 0.1" in (clone.root / "params.yaml").read_text()
    status, output = compare(clone, "workspace", "first", "--method", "cmarr")
    assert status == 0 and "the same answers to every utterance" in output
    status, output = compare(clone, "half", "HEAD")
    assert status == 1 and "`dvc exp save -n NAME` gives a name to what the workspace holds" in output


def test_what_is_no_longer_in_the_cache_can_be_made_again(study, tmp_path):
    copy = Project(tmp_path / "copy")
    shutil.copytree(study.root, copy.root, symlinks=True)
    shutil.rmtree(copy.root / ".dvc/cache")
    status, output = compare(copy, "strong")
    assert status == 1
    assert "not in DVC's cache" in output
    assert "dvc exp apply strong" in output
