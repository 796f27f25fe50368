"""Ablations, recovery and the parameter study through the real dvc.yaml."""

import pandas as pd
import pytest
from ruamel.yaml import YAML

from cmarr.analyses.sensitivity import read_results, write_results
from stages.mirrored import result_of
from tests.pipeline.project import Project, copy_of, ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # the first also waits for the pipeline


@pytest.fixture(scope="module")
def study(project, tmp_path_factory) -> Project:
    """A copy that has committed what it found, as a user does before experiments."""
    copy = copy_of(project, tmp_path_factory.mktemp("study"))
    copy.run("git", "add", "-A")
    copy.run("git", "commit", "-q", "-m", "Run")
    return copy


def write(project: Project, **keys) -> None:
    """Change keys at the top of params.yaml."""
    path = project.root / "params.yaml"
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(path) | keys
    with path.open("w") as opened:
        yaml.dump(params, opened)


def test_the_parameter_study_runs_only_what_is_missing(study):
    write(study, sensitivity={"alpha": [2.0], "beta": [], "lambda": []})
    command = ["python", "-m", "stages.sensitivity"]
    assert "demo: 2 points, 2 to run" in study.run(*command).stdout
    collected = study.root / "metrics/demo/sensitivity.csv"
    table = read_results(collected)
    assert sorted(table["alpha"].unique()) == [1.0, 2.0]
    # the point of params.yaml is the result that is there already
    now = table[(table["alpha"] == 1.0) & (table["metric"] == "UAR") & (table["condition"] == "avg6")]["mean"]
    scores = pd.read_csv(study.root / "metrics/demo/cmarr.csv").set_index(["metric", "condition"])["mean"]
    assert now.item() == pytest.approx(scores["UAR", "avg6"])

    # what an interrupted run had finished is collected, not run again
    write_results(collected, table[: len(table) // 2])
    said = study.run(*command).stdout
    assert "2 points, 0 to run" in said and "1 points added" in said
    assert read_results(collected).equals(table)


def test_what_is_asked_for_runs_and_stands_in_the_report(study, monkeypatch):
    """Another corpus is answered by the models that are there: nothing but ablations is trained."""
    report = study.root / "metrics/demo/report"
    assert "No ablation has been trained" in (report / "ablations.md").read_text()
    assert "No recovery has been measured" in (report / "recovery.md").read_text()
    datasets = YAML(typ="safe", pure=True).load(study.root / "params.yaml")["datasets"]
    datasets["demo_other"]["options"] = {"seed": 1, "sessions": 2, "utterances": 16}
    asked = {"recovery": ["cmarr"], "clusters": ["cmarr"], "cross": ["demo_other"]}
    ablations = ["w_point", "cmarr_tuned"]
    write(study, ablate=ablations, datasets=datasets, **asked)
    stages = {
        f"{way}@{name}" for name in ablations for way in ("pretrain_ablation", "ablate", "evaluate_ablation")
    }
    stages |= {"recovery@cmarr", "clusters@cmarr", "cross@demo_other", "transfer@demo_other"}
    assert set(ran(study.dvc("repro", "report"))) == {"settings", *stages, "report"}
    page = (report / "ablations.md").read_text()
    assert all(f"| {label} " in page for label in ("full", "w/ point", "w/ point (paper)"))
    assert "against true representations, cmarr." in (report / "recovery.md").read_text()
    assert "| cmarr " in (report / "clusters.md").read_text()
    assert set(pd.read_csv(report / "ablations.csv")["variant"]) == {"full", "w/ point"}
    tuned = (report / "tuned.md").read_text()
    assert all(f"| {label} " in tuned for label in ("cmarr", "cmarr, tuned"))
    assert "6 trials with the first seed" in tuned
    assert "2 of the 2 points of the grids have been run" in (report / "sensitivity.md").read_text()
    figures = {f"figures/{name}.svg" for name in ("recovery", "clusters", "sensitivity")}
    assert all((report / figure).is_file() for figure in figures)
    table = pd.read_csv(report / "tables/cross-demo-other.csv")
    assert list(table.columns) == ["available", "scored", "cmarr", "linear"]
    steady = pd.read_csv(report / "tables/consistency-demo-other.csv")
    assert set(steady["corpus"]) == {"demo", "demo_other"}
    assert "Trained on demo, tested on demo_other" in (report / "index.html").read_text()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(study.root)
    assert result_of("demo", "w_point", "data", {}).name.startswith(
        "cmarr w_point beta=0.1 alpha=1.0"
    )  # in MLflow
