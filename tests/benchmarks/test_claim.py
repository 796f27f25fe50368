"""The runs of docs/claim.md: which there are, what is kept of them, how they become a table."""

import pytest

from benchmarks.claim.corpora import Corpus, settings_of
from benchmarks.claim.plan import CONFIRMING, DETERMINISTIC, METHODS, SEEN, TUNING
from benchmarks.claim.runs import answers, carry_out, runs
from benchmarks.claim.table import claim, table
from benchmarks.claim.table import keep as kept
from cmarr.evaluation.predictions import predictions_path, write_predictions
from cmarr.files import read_json, write_json
from cmarr.methods.registry import method_class, method_names
from tests.evaluation.conftest import EMOTIONS, simulated

SMALL = Corpus("24-0", "demo", (("seed", 0), ("sessions", 3), ("utterances", 24)), tested=(1,))
CELL = {"difference": 0.021, "lo": 0.01, "hi": 0.03, "shown": 1}


def test_no_confirming_corpus_was_looked_at():
    seeds = [dict(corpus.options).get("seed") for own in CONFIRMING.values() for corpus in own]
    assert not set(seeds) & set(SEEN)
    assert {dict(corpus.options)["seed"] for corpus in TUNING} <= set(SEEN)
    assert len({corpus.name for own in CONFIRMING.values() for corpus in own}) == len(seeds)


def test_every_method_takes_part():
    assert set(method_names()) <= set(METHODS)
    assert {name for name in method_names() if getattr(method_class(name), "deterministic", False)} == set(
        DETERMINISTIC
    )


def test_a_closed_form_has_one_seed():
    listed = list(runs(SMALL, ["linear", "masked"], [1, 2], [0, 1]))
    assert [(r.method, r.seed, r.fold) for r in listed] == [
        ("linear", 0, 1),
        ("linear", 0, 2),
        *(("masked", seed, fold) for seed in (0, 1) for fold in (1, 2)),
    ]


def test_an_ablation_brings_the_method_that_it_varies():
    settings = settings_of(SMALL, ("linear", "anchored_masked"))
    assert (settings.methods, settings.ablate) == (("linear", "anchored"), ("anchored_masked",))
    assert settings.datasets["demo"].options["utterances"] == 24


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(tmp_path, capsys):
    carry_out(SMALL, ["linear"], [0], tmp_path, 1)
    first = predictions_path(tmp_path / "answers/24-0/linear", 1, 0)
    assert first.is_file()
    assert not (tmp_path / "corpora/24-0/media").exists()
    before = first.stat().st_mtime_ns
    carry_out(SMALL, ["linear", "gaussian"], [0], tmp_path, 1)
    assert first.stat().st_mtime_ns == before
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines() if "seed" in line] == [
        "linear",
        "gaussian",
    ]


def written(out, corpus, method, folds, seeds, strength=1.0):
    for seed in seeds:
        for frame in simulated(strength=strength, folds=folds, seeds=(seed,)):
            path = predictions_path(out / "answers" / corpus / method, frame["fold"][0], seed)
            write_predictions(path, frame, EMOTIONS)
            costs = {"core_seconds": 2.0, "peak_memory_bytes": 2**20}
            write_json(path.with_suffix(".json"), costs)


def test_corpora_are_folds_of_one_study_and_half_a_seed_does_not_count(tmp_path):
    corpora = [Corpus("one", "demo"), Corpus("two", "demo")]
    for corpus in corpora:
        written(tmp_path, corpus.name, "masked", 2, (0,))
    written(tmp_path, "one", "masked", 2, (1,))
    (found,) = answers(corpora, ["masked", "cmarr"], tmp_path).values()
    assert [int(frame["fold"].iloc[0]) for frame in found] == [0, 1, 100, 101]
    assert {frame["seed"].iloc[0] for frame in found} == {0}
    names = {cluster.split(":")[0] for frame in found for cluster in frame["cluster"]}
    assert names == {"one", "two"}


def test_what_was_found_is_kept_and_becomes_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.claim.table.RESULTS", tmp_path)
    written(tmp_path, "one", "anchored", 4, (0,), strength=4.0)
    written(tmp_path, "one", "masked", 4, (0,), strength=0.2)
    kept("some", [Corpus("one", "demo")], ["anchored", "masked"], tmp_path)
    content = read_json(tmp_path / "some.json")
    assert content["methods"]["masked"]["core_seconds"] == 2.0
    assert content["against"]["masked"]["avg6"]["difference"] > 0.1
    assert table(content) in capsys.readouterr().out
    assert claim("some") == table(content)
    assert "benchmarks.claim run --size other" in claim("other")


def test_a_cell_by_hand():
    own = {"seeds": 1, "avg6": 0.7512, "svt": 0.9, "core_seconds": 1.26, "peak_memory_mb": 900.4}
    content = {
        "metric": "UAR",
        "methods": {"masked": own},
        "against": {"masked": {"avg6": CELL, "svt": CELL | {"shown": 0}}},
    }
    row = table(content).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "masked",
        "1",
        "75.1",
        "90.0",
        "+2.1 [+1.0, +3.0], better",
        "+2.1 [+1.0, +3.0]",
        "1.3",
        "900",
    ]
