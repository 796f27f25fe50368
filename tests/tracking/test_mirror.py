import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from cmarr.tracking import mirror
from cmarr.tracking.mirror import Tracked, track
from cmarr.tracking.results import STUDY, content_hash
from cmarr.tracking.store import configure
from tests.killed import killed

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings(
    # MLflow 3.17 loads runs in a way that SQLAlchemy 2.1 is going to drop.
    "ignore:The ``noload`` loader strategy:DeprecationWarning"
)


def parents(root, dataset="demo"):
    return [run for run in all_runs(root, dataset) if "content_hash" in run.data.tags]


def children(root, parent):
    return [
        run for run in all_runs(root, "demo") if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]


def all_runs(root, dataset):
    client = mirror._client(configure(root))
    experiment = client.get_experiment_by_name(dataset)
    return client.search_runs([experiment.experiment_id]) if experiment else []


def artifacts(run):
    folder = Path(run.info.artifact_uri.removeprefix("file://").replace("%20", " "))
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def test_a_result_appears_with_its_params_scores_and_tags(example, root):
    result = example(
        tags={"git_commit": "1a2b3c", "dvc_experiment": "dusty-dusk"},
        note="| condition |",
        cost={"seconds": 9},
    )
    assert track(result, root=root) == Tracked(logged=1)

    (run,) = parents(root)
    assert run.info.run_name == "cmarr beta=0.1"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"beta": "0.1", "train.lr": "0.001", "seeds": "0, 1"}
    scores = {name: value for name, value in run.data.metrics.items() if name.startswith("UAR")}
    assert scores == {
        "UAR/st": 0.61,
        "UAR/avg6": 0.55,
        "UAR/avg6/std": 0.03,
        "UAR/avg6/lo": 0.5,
        "UAR/avg6/hi": 0.6,
    }
    assert run.data.metrics["cost/seconds"] == 9
    expected = {
        "dataset": "demo",
        "method": "cmarr",
        "variant": "full",
        "git_commit": "1a2b3c",
        "dvc_experiment": "dusty-dusk",
        "content_hash": content_hash(result),
        "data_hash": result.data_hash,
    }
    assert expected.items() <= run.data.tags.items()
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("demo", result.data_hash)


def test_each_fold_and_seed_is_a_child_with_its_scores_and_curves(example, root):
    track(example(), root=root)
    (parent,) = parents(root)
    by_fold = {run.data.params["fold"]: run for run in children(root, parent)}
    assert sorted(by_fold) == ["0", "1"]
    assert by_fold["1"].data.params["seed"] == "0"
    assert by_fold["1"].data.metrics["UAR/st"] == pytest.approx(0.60)
    assert "UAR/v" not in by_fold["1"].data.metrics
    client = mirror._client(configure(root))
    history = client.get_metric_history(by_fold["1"].info.run_id, "curves/total")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 2.0), (2, pytest.approx(5 / 3))]
    history = client.get_metric_history(parent.info.run_id, "curves/total")
    assert [(point.step, point.value) for point in history] == [(0, 2.5), (1, 1.5), (2, pytest.approx(7 / 6))]


def test_tables_figures_and_texts_lie_under_the_artifact_folder_of_the_root(
    example, root, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    picture = tmp_path / "curves.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    table = pd.DataFrame({("UAR", "mean"): [0.5, 0.6]}, index=pd.Index(["s", "st"], name="condition"))
    track(
        example(
            tables={"conditions": lambda: table},
            figures={"confusion": Figure(figsize=(1, 1)), "curves": picture},
            texts={"table2.md": "| a |"},
        ),
        root=root,
    )
    (run,) = parents(root)
    found = artifacts(run)
    assert run.info.artifact_uri.startswith(f"{root.as_uri()}/mlartifacts/demo/")
    assert set(found) == {
        "tables/conditions.json",
        "figures/confusion.png",
        "figures/curves.svg",
        "table2.md",
    }
    assert json.loads(found["tables/conditions.json"].read_text()) == {
        "columns": ["condition", "UAR mean"],
        "data": [["s", 0.5], ["st", 0.6]],
    }
    assert list(elsewhere.iterdir()) == []


def test_a_study_has_its_page_and_its_metrics_carry_the_methods_names(example, root, tmp_path):
    page = tmp_path / "index.html"
    page.write_text("<h1>demo</h1>")
    own = example().metrics
    track(
        example(),
        example(
            method=STUDY, metrics={"cmarr": own}, folds=(), files={"index.html": page, "figures/a.svg": page}
        ),
        root=root,
    )
    study = next(run for run in parents(root) if run.data.tags["method"] == STUDY)
    assert study.data.metrics["cmarr/UAR/avg6"] == 0.55
    assert set(artifacts(study)) == {"index.html", "figures/a.svg"}
    tags = mirror._client(configure(root)).get_experiment_by_name("demo").tags
    assert "metrics.`cmarr" not in tags["mlflow.sharedViewState.scores"]  # the list of runs keeps its columns


def test_repeating_adds_nothing_and_does_not_even_ask_mlflow(example, root, monkeypatch):
    track(example(), root=root)
    before = len(all_runs(root, "demo"))
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "_client", lambda store: pytest.fail("MLflow was asked"))
        again = example(figures={"costly": lambda: pytest.fail("a figure was drawn")})
        assert track(again, root=root) == Tracked(already=1)
    assert len(all_runs(root, "demo")) == before


def test_only_what_is_new_is_logged(example, root):
    track(example(beta=0.1), root=root)
    assert track(example(beta=0.1), example(beta=0.5), root=root) == Tracked(logged=1, already=1)
    assert sorted(run.data.params["beta"] for run in parents(root)) == ["0.1", "0.5"]


def test_two_betas_can_be_compared_by_the_same_names(example, root):
    track(example(beta=0.1), example(beta=0.5), root=root)
    one, other = parents(root)
    assert one.data.metrics.keys() == other.data.metrics.keys()
    assert {k for k in one.data.params if one.data.params[k] != other.data.params[k]} == {"beta"}


def test_the_experiment_opens_on_model_runs_and_has_a_view_with_scores(example, root):
    track(example(settings={"preset": "demo"}), example(settings={"beta": 0.5}), root=root)
    tags = mirror._client(configure(root)).get_experiment_by_name("demo").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert json.loads(tags["mlflow.sharedViewState.scores"]) == {
        "selectedColumns": ["metrics.`UAR/avg6`", "params.`beta`"]
    }


def half_logged(result, root, monkeypatch):
    """Kill the tracking of a result before its data are logged."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mirror, "_log_data", killed)
        with pytest.raises(KeyboardInterrupt):
            track(result, root=root)


def test_a_half_logged_run_is_replaced(example, root, monkeypatch):
    half_logged(example(), root, monkeypatch)
    (half,) = parents(root)
    assert half.info.status == "RUNNING"
    mirror._client(configure(root)).log_text(half.info.run_id, "half", "results.md")

    assert track(example(), root=root) == Tracked(logged=1)
    (whole,) = parents(root)
    assert whole.info.run_id != half.info.run_id
    assert whole.info.status == "FINISHED"
    assert len(all_runs(root, "demo")) == 1 + 2, "the half run's children are gone with it"
    assert not (root / "mlartifacts/demo" / half.info.run_id).exists(), "and what they had logged"


@pytest.mark.parametrize("moment", [3, 8, 14])
def test_killed_at_any_moment_everything_is_there_once_after_the_next_run(moment, example, root, monkeypatch):
    """What MLflow is asked for is counted; the process dies instead of asking once more."""

    class Mortal:
        def __init__(self, client):
            self.client, self.left = client, moment

        def __getattr__(self, name):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            return getattr(self.client, name)

    result, client = example(texts={"table2.md": "| a |"}), mirror._client
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "_client", lambda store: Mortal(client(store)))
        assert killed(lambda: track(result, root=root))
    assert track(result, root=root).missed == 0
    (whole,) = parents(root)
    runs = all_runs(root, "demo")
    assert {run.info.status for run in runs} == {"FINISHED"} and len(runs) == 1 + len(children(root, whole))
    assert whole.data.metrics["UAR/st"] == pytest.approx(0.61) and set(artifacts(whole)) == {"table2.md"}
    held = {path.name for path in (root / "mlartifacts/demo").glob("*") if any(path.rglob("*.*"))}
    assert held <= {run.info.run_id for run in runs}
    assert track(result, root=root) == Tracked(already=1)


def test_what_deleted_runs_of_earlier_versions_have_left_goes(example, root, monkeypatch):
    half_logged(example(beta=0.1), root, monkeypatch)
    (half,) = parents(root)
    client = mirror._client(configure(root))
    client.log_text(half.info.run_id, "half", "results.md")
    client.delete_run(half.info.run_id)
    left = root / "mlartifacts/demo" / half.info.run_id
    assert left.is_dir()
    track(example(beta=0.5), root=root)
    assert not left.exists()


def test_a_half_logged_run_goes_even_if_its_result_is_no_longer_current(example, root, monkeypatch):
    half_logged(example(beta=0.1), root, monkeypatch)
    track(example(beta=0.5), root=root)
    assert [run.data.params["beta"] for run in parents(root)] == ["0.5"]


def test_a_run_that_a_person_deleted_is_logged_again(example, root):
    track(example(), root=root)
    (run,) = parents(root)
    mirror._client(configure(root)).delete_run(run.info.run_id)
    assert track(example(), root=root) == Tracked(logged=1)
    assert len(parents(root)) == 1


def test_two_processes_on_a_fresh_store_log_everything_once(example, tmp_path):
    (tmp_path / "results.pickle").write_bytes(pickle.dumps([example(beta=0.1), example(beta=0.5)]))
    script = (
        "import pickle; from pathlib import Path; from cmarr.tracking.mirror import track; "
        "print(track(*pickle.loads(Path('results.pickle').read_bytes()), root=Path('.')))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in started]
    assert [errors for _, errors in outputs] == ["", ""]
    assert sorted(said.strip() for said, _ in outputs) == [
        "Tracked(logged=0, already=2, missed=0)",
        "Tracked(logged=2, already=0, missed=0)",
    ]
    assert sorted(run.info.run_name for run in parents(tmp_path)) == ["cmarr beta=0.1", "cmarr beta=0.5"]
    assert len(all_runs(tmp_path, "demo")) == 2 * (1 + 2)


def test_a_server_that_cannot_be_reached_costs_one_sentence(example, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert track(example(), example(beta=0.5), root=tmp_path) == Tracked(missed=2)
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("cmarr")]
    assert said.startswith("MLflow at http://127.0.0.1:9 cannot be used")
    assert "2 result(s)" in said


def test_a_broken_database_costs_one_sentence(example, tmp_path, caplog):
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be looked at")
    assert track(example(), root=tmp_path) == Tracked(missed=1)
    assert len([record for record in caplog.records if record.name.startswith("cmarr")]) == 1


def test_the_quick_answer_agrees_with_mlflow(example, root):
    track(example(), root=root)
    (run,) = parents(root)
    with sqlite3.connect(root / "mlflow.db") as connection:
        connection.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", (run.info.run_id,))
    assert mirror.finished_hashes(configure(root)) == set()
    assert track(example(), root=root) == Tracked(logged=1)
