"""Ablations, recovery and the parameter study through the real dvc.yaml."""

import pandas as pd
import pytest
from ruamel.yaml import YAML

from cmarr.analyses.sensitivity import read_results
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


def test_what_is_asked_for_runs_and_stands_in_the_report(study):
    report = study.root / "metrics/demo/report"
    assert "No ablation has been trained" in (report / "ablations.md").read_text()
    assert "No recovery has been measured" in (report / "recovery.md").read_text()
    write(study, ablate=["w_point", "linear_tuned"], recovery=["cmarr"], clusters=["masked"])
    assert set(ran(study.dvc("repro", "report"))) == {
        "settings",
        "pretrain_ablation@w_point",
        "ablate@w_point",
        "evaluate_ablation@w_point",
        "pretrain_ablation@linear_tuned",
        "ablate@linear_tuned",
        "evaluate_ablation@linear_tuned",
        "recovery@cmarr",
        "clusters@masked",
        "report",
    }
    page = (report / "ablations.md").read_text()
    assert all(
        f"| {label} " in page for label in ("full", "masked (fusion alone)", "w/ point", "w/ point (paper)")
    )
    assert "against true representations, cmarr." in (report / "recovery.md").read_text()
    assert (report / "figures/recovery.svg").is_file()
    assert "| masked " in (report / "clusters.md").read_text()
    assert (report / "figures/clusters.svg").is_file()
    assert set(pd.read_csv(report / "ablations.csv")["variant"]) == {
        "full",
        "masked (fusion alone)",
        "w/ point",
    }
    tuned = (report / "tuned.md").read_text()
    assert all(f"| {label} " in tuned for label in ("linear", "linear, tuned"))
    assert "6 trials with the first seed" in tuned
    told = "from stages.mirrored import result_of; print(result_of('demo', 'w_point', 'data', {}).name)"
    assert study.run("python", "-c", told).stdout.startswith("cmarr w_point beta=0.1 alpha=1.0")  # in MLflow


def test_the_parameter_study_runs_only_what_is_missing(study):
    write(study, sensitivity={"alpha": [2.0], "beta": [], "lambda": []})
    command = ["python", "-m", "stages.sensitivity"]
    assert "demo: 2 points, 2 to run" in study.run(*command).stdout
    table = read_results(study.root / "metrics/demo/sensitivity.csv")
    assert sorted(table["alpha"].unique()) == [1.0, 2.0]
    # the point of params.yaml is the result that is there already
    now = table[(table["alpha"] == 1.0) & (table["metric"] == "UAR") & (table["condition"] == "avg6")]["mean"]
    scores = pd.read_csv(study.root / "metrics/demo/cmarr.csv").set_index(["metric", "condition"])["mean"]
    assert now.item() == pytest.approx(scores["UAR", "avg6"])

    # what an interrupted run had finished is collected, not run again
    (study.root / "metrics/demo/sensitivity.csv").write_text(",".join(table.columns) + "\n")
    assert "2 points, 0 to run" in study.run(*command).stdout
    assert read_results(study.root / "metrics/demo/sensitivity.csv").equals(table)
    assert "2 points, 0 to run" in study.run(*command).stdout

    assert ran(study.dvc("repro", "report")) == ["settings", "report"]
    assert (
        "2 of the 2 points of the grids have been run"
        in (study.root / "metrics/demo/report/sensitivity.md").read_text()
    )
    assert (study.root / "metrics/demo/report/figures/sensitivity.svg").is_file()


def test_another_corpus_is_answered_by_the_trained_models(study):
    yaml = YAML(typ="safe", pure=True)
    datasets = yaml.load(study.root / "params.yaml")["datasets"]
    datasets["demo_other"]["options"] = {"seed": 1, "sessions": 3, "utterances": 24}
    write(study, datasets=datasets, cross=["demo_other"])
    stages = ran(study.dvc("repro", "report"))
    assert set(stages) == {
        "settings",
        "cross@demo_other",
        "transfer@demo_other",
        "report",
    }  # nothing is trained
    report = study.root / "metrics/demo/report"
    table = pd.read_csv(report / "tables/cross-demo-other.csv")
    assert list(table.columns) == ["available", "scored", "cmarr", "masked", "linear"]
    steady = pd.read_csv(report / "tables/consistency-demo-other.csv")
    assert set(steady["corpus"]) == {"demo", "demo_other"}
    assert "Trained on demo, tested on demo_other" in (report / "index.html").read_text()
