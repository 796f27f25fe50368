"""The studies behind the tables: what is kept of one says the same as the study, and only what is out of date runs."""

import re

import numpy as np
import pytest

from benchmarks.studies import pages, publish, store
from benchmarks.studies.copy import Copy
from benchmarks.studies.plan import RESULTS, ROOT, Planned, planned, study
from benchmarks.studies.printed import PROTOCOL, printed
from benchmarks.studies.tallies import packed, unpacked
from cmarr.errors import UserError
from cmarr.evaluation.comparison import compare_all
from cmarr.evaluation.resampling import interval, over_seeds, seed_variance
from cmarr.evaluation.scores import metrics_of
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import resampled, summarise
from cmarr.methods.registry import method_class, method_names
from cmarr.settings.load import load_settings, read_yaml
from cmarr.task import Task
from tests.report.studies import predictions

TASKS = [Task(("calm", "tense", "sad")), Task(())]


def answers(task, method, seeds=(0, 1)):
    return [predictions(task, method + 10 * s, fold).assign(seed=s) for fold in (1, 2) for s in seeds]


@pytest.mark.parametrize("task", TASKS, ids=["classes", "score"])
def test_tallies_give_every_score_again(task):
    frames = answers(task, 1)
    found = unpacked(packed(frames, task), task)
    headline = found.headline(np.ones((1, len(found.clusters))))[0]
    told = summarise(frames, task, resamples=10)
    for m, metric in enumerate(metrics_of(task)):
        for r, row in enumerate(ROWS):
            assert headline[m, r] == pytest.approx(told[metric][row]["mean"], abs=2e-4), (metric, row)


@pytest.mark.parametrize("task", TASKS, ids=["classes", "score"])
def test_tallies_give_every_interval_again(task):
    """By the report's own functions: nothing else of the answers is needed."""
    frames = answers(task, 1)
    found = unpacked(packed(frames, task), task)
    bounds = interval(resampled(found, resamples=200), len(found.clusters))
    whole = found.drawn(np.ones((1, len(found.clusters)))).reshape(-1)
    by_seed = found.by_seed().reshape(len(found.seeds), -1)
    lo, hi = over_seeds(*bounds, whole, [seed_variance(by_seed)])
    told = summarise(frames, task, resamples=200)
    for m, metric in enumerate(metrics_of(task)):
        if (
            metric == "Corr"
        ):  # a speaker drawn alone here has one truth: whether it varies is a matter of rounding
            continue
        for r, row in enumerate(ROWS):
            cell, at = told[metric][row], m * len(ROWS) + r
            assert (lo[at], hi[at]) == pytest.approx((cell["lo"], cell["hi"]), abs=1e-3), (metric, row)


@pytest.mark.parametrize("name", [name for name in planned() if store.place(name).is_file()])
def test_what_is_printed_of_a_kept_study_is_what_its_tallies_say(name):
    kept = store.stored(name)
    for method, own in kept.summaries.items():
        found = unpacked(kept.content["tallies"][method], kept.task)
        headline = found.headline(np.ones((1, len(found.clusters))))[0]
        for metric, cells in own.items():
            for row, cell in cells.items() if metric != "meta" else ():
                value = headline[metrics_of(kept.task).index(metric), ROWS.index(row)]
                assert cell["mean"] is None or value == pytest.approx(cell["mean"], abs=2e-4), (
                    method,
                    metric,
                    row,
                )


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A study of two methods, kept in a folder of its own."""
    task = TASKS[0]
    frames = {"one": answers(task, 0), "two": answers(task, 2)}
    content = {
        "study": "tiny",
        "date": "2026-01-31",
        "commit": "abc",
        "machine": {"processor": "CPU", "arithmetic": "AVX2", "gpu": "none", "torch": "2"},
        "task": {
            "dataset": "tiny",
            "classes": list(task.classes),
            "cluster": "speaker",
            "plain": ["one"],
            "seeds": [0, 1],
        },
        "summaries": {
            name: {key: own[key] for key in ("UAR", "WAR", "meta")}
            for name, own in ((n, summarise(f, task, resamples=20)) for n, f in frames.items())
        },
        "comparisons": {", ".join(pair): cells for pair, cells in compare_all(frames, task).items()},
        "costs": {"one": 8.0, "two": 2.0},
        "scores": {"one": [{}] * 4},
        "tables": {"costs": "**Cost**"},
    }
    store.write("tiny", content, tmp_path)
    monkeypatch.setattr(pages, "_stored", lambda name: store.stored(name, tmp_path))
    return content


def test_a_block_is_replaced_by_what_was_kept_and_the_rest_stays(results):
    page = ROOT / "docs/page.md"
    text = "before\n\n<!-- shown: scores tiny UAR two -->\ntyped 1.23\n<!-- end -->\n\nafter\n"
    new = pages.written(text, page)
    mean = results["summaries"]["two"]["UAR"]["avg6"]["mean"]
    assert f"{100 * mean:.2f}" in new and "typed" not in new and "| one" not in new
    assert "2026-01-31, commit abc, CPU (AVX2), torch 2" in new
    assert new.startswith("before\n") and new.endswith("after\n")
    assert pages.written(new, page) == new
    shown = pages.written("<!-- shown: verdicts tiny -->\n<!-- end -->", page)
    assert "- two - one: avg6 UAR " in shown
    only = pages.written("<!-- shown: verdicts tiny of:one two -->\n<!-- end -->", page)
    assert "- one - two: avg6 UAR " in only and "two - one" not in only
    assert "**Cost**" in pages.written("<!-- shown: table tiny costs -->\n<!-- end -->", page)


def test_the_narrow_table_the_costs_and_the_picture_say_the_same(results, tmp_path, monkeypatch):
    page = ROOT / "README.md"
    cell = results["summaries"]["two"]["UAR"]["svt"]
    shown = pages.written("<!-- shown: conditions tiny UAR -->\n<!-- end -->", page)
    assert (
        f"{100 * cell['mean']:.1f}" in shown
        and f"± {100 * cell['std']:.1f}, {100 * cell['std_seeds']:.1f}" in shown
    )
    assert "(results/tiny.json)" in shown
    costs = pages.written("<!-- shown: costs tiny -->\n<!-- end -->", page)
    assert re.search(r"\| one +\| +8 \| +2\.0 \|", costs)
    monkeypatch.setattr(pages, "digest_of", lambda name: store.digest_of(name, tmp_path))
    drawn = pages.written("<!-- shown: picture tiny -->\n<!-- end -->", page)
    mean = results["summaries"]["one"]["UAR"]["avg6"]["mean"]
    assert f"one {100 * mean:.2f}; two " in drawn and "](docs/tiny.png)" in drawn
    assert f"drawn of {store.digest_of('tiny', tmp_path)}" in drawn


def test_what_cannot_be_shown_is_named(results):
    page = ROOT / "docs/page.md"
    with pytest.raises(UserError, match="nothing is called 'score'"):
        pages.written("<!-- shown: score tiny UAR -->\n<!-- end -->", page)
    with pytest.raises(UserError, match="has no method 'three'"):
        pages.written("<!-- shown: scores tiny UAR three -->\n<!-- end -->", page)


def test_every_planned_study_is_one_that_params_yaml_can_be(tmp_path):
    """Keys, methods, datasets and ablations exist; one of the studies is read as `dvc repro` would."""
    plain = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for own in planned().values():
        (tmp_path / "params.yaml").write_text(plain, encoding="utf-8")
        Copy(tmp_path, ROOT).put(own, 1)
        params = read_yaml(tmp_path / "params.yaml")
        assert params["workers"] == 1 and own.dataset in params["datasets"]
        assert set(params["methods"]) <= set(method_names())
        rows = {name: getattr(method_class(name), "privileges", ()) for name in params["methods"]}
        assert {*params["ablate"], *params["clusters"], *params["recovery"]} <= {
            *params["ablations"],
            *params["methods"],
            *(f"{name}_{row}" for name, taken in rows.items() for row in ("as_published", *taken) if taken),
        }
    settings = load_settings(tmp_path / "params.yaml", ROOT / "presets")
    assert list(settings.seeds) == own.set["seeds"]


def test_a_study_that_sets_a_key_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("workers: auto\ntrain: {lr: 1}\n", encoding="utf-8")
    for key in ("seed", "train.rate", "tune.trials"):
        with pytest.raises(UserError, match=f"params.yaml has no key {key}"):
            Copy(tmp_path, ROOT).put(Planned("x", {key: 1}), "auto")
    with pytest.raises(UserError, match=r"has no study 'dmo', only demo, .*did you mean 'demo'"):
        study("dmo")


def test_the_command_of_a_study_is_one_line_for_a_shell():
    own = Planned("x", {"methods": ["a", "b"], "tune.trials": 3})
    assert own.command == "dvc exp run -S 'methods=[a,b]' -S 'tune.trials=3'"
    assert own.dataset == "demo"


def test_settings_code_and_report_are_told_apart(tmp_path):
    folder = tmp_path / "data/demo/settings"
    (folder / "train").mkdir(parents=True)
    for name in ("report", "run", "train/cmarr"):
        (folder / f"{name}.json").write_text("{}", encoding="utf-8")
    first = publish.made_of("demo", tmp_path)
    (folder / "run.json").write_text('{"workers": 2}', encoding="utf-8")
    assert publish.made_of("demo", tmp_path) == first
    (folder / "report.json").write_text('{"code": "b"}', encoding="utf-8")
    second = publish.made_of("demo", tmp_path)
    assert second["answers"] == first["answers"] and second["report"] != first["report"]
    (folder / "train/cmarr.json").write_text('{"lr": 1}', encoding="utf-8")
    assert publish.made_of("demo", tmp_path)["answers"] != first["answers"]


def test_what_papers_print_stands_with_how_it_was_had_and_nothing_is_made_up():
    content = read_yaml(RESULTS / "published.yaml")
    fields = {"method", "corpus", "over", "metric", "printed", "from", "protocol"}
    assert all(set(row) == fields and row["protocol"] in content["protocols"] for row in content["rows"])
    assert all(set(own) <= {*PROTOCOL, "folds"} for own in content["protocols"].values())
    table = printed(ROOT / "docs/rivals.md")
    (row,) = (line for line in table.splitlines() if "77.43/77.28" in line)
    assert "best on the test set" in row and "one a condition" in row and "Zhang et al. 2026" in row
    assert "70.90/71.48" in table and "Table 2" in table  # CM-ARR's own, from the report's file
    (unknown,) = (line for line in table.splitlines() if "75.56/75.42" in line)
    assert unknown.split("|")[-6:-1].count(" - ") < 5 and "| -" in unknown
