"""The runs of docs/claim.md: which there are, what is kept of them, how they become a table."""

import pytest

from benchmarks.claim.corpora import Corpus, settings_of
from benchmarks.claim.figures import FIGURES, cost_figure, curve_figure, digest_of, field_claims, field_costs
from benchmarks.claim.plan import CONFIRMING, DETERMINISTIC, FIELD_CLAIMS, METHODS, SEEN, TUNING
from benchmarks.claim.runs import answers, carry_out, runs
from benchmarks.claim.table import claim, in_short, minus, part, table
from benchmarks.claim.table import keep as kept
from cmarr.evaluation.comparison import turned
from cmarr.evaluation.predictions import predictions_path, write_predictions
from cmarr.files import read_json, write_json
from cmarr.folds.files import Fold, write_folds
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
    write_folds(
        tmp_path / "corpora/one/folds.parquet",
        [Fold(1, ["a", "b"], ["c"], ["d"]), Fold(2, [*"abcd"], ["e"], ["f"])],
    )
    kept("some", [Corpus("one", "demo")], ["anchored", "masked"], tmp_path)
    content = read_json(tmp_path / "some.json")
    assert content["methods"]["masked"]["core_seconds"] == 2.0
    ours = minus(content, "anchored", "masked", "avg6")
    assert ours["difference"] > 0.1
    assert minus(content, "masked", "anchored", "avg6")["difference"] == -ours["difference"]
    assert content["trained_on"] == 3
    assert table(content) in capsys.readouterr().out
    assert claim("some").startswith(table(content)) and "this trained model" in claim("some")
    assert "benchmarks.claim run --size other" in claim("other")


def test_a_cell_by_hand():
    own = {"seeds": 1, "avg6": 0.7512, "svt": 0.9, "core_seconds": 1.26, "peak_memory_mb": 900.4}
    content = {
        "metric": "UAR",
        "methods": {"masked": own},
        "pairs": {"anchored/masked": {"avg6": CELL, "svt": CELL | {"shown": 0}}},
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


def content(size, trained_on, difference, metric="UAR"):
    """What is kept of a size: two methods and their difference."""
    own = {"seeds": 1, "avg6": 0.75, "intervals": {"avg6": [0.7, 0.8]}, "core_seconds": 2.0}
    cell = {"difference": difference, "lo": difference - 0.01, "hi": difference + 0.01, "shown": 1}
    return {
        "size": size,
        "metric": metric,
        "corpora": [f"{size}-{n}" for n in range(2)],
        "trained_on": trained_on,
        "methods": {"linear": own, "gaussian": own | {"avg6": 0.75 + difference, "core_seconds": 1.0}},
        "pairs": {"linear/gaussian": {"avg6": turned(cell)}},
    }


def test_the_curves_are_drawn_at_what_was_trained_on_and_without_mosi():
    found = {
        "240": content("240", 144, 0.02),
        "1440": content("1440", 864, -0.01),
        "mosi": content("mosi", 9, 0, "MAE"),
    }
    (axes,) = curve_figure(found).axes
    (line,) = [drawn for drawn in axes.lines if drawn.get_label() == "gaussian"]
    assert list(line.get_xdata()) == [144, 864]
    assert list(line.get_ydata()) == pytest.approx([2.0, -1.0])
    told = FIGURES["curves"].alt(found)
    assert told.startswith("UAR of gaussian minus linear") and "144 (2 of 5 corpora, 1 seed, 2 of 21" in told


def test_a_panel_has_every_method_at_its_cost_and_errors_point_down():
    found = {"240": content("240", 144, 0.02), "mosi": content("mosi", 1150, 0.1, "MAE")}
    points, errors = cost_figure(found).axes
    assert {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in points.lines} == {
        "linear": (2.0, 75.0),
        "gaussian": (1.0, 77.0),
    }
    assert errors.yaxis_inverted() and not points.yaxis_inverted()
    told = FIGURES["field"].alt(found)
    assert told.endswith("240 utterances (2 methods): best is gaussian; CMU-MOSI (2 methods): best is linear")
    assert digest_of(found) != digest_of({"240": found["240"]})


def test_a_printed_order_is_asked_of_every_size():
    one, two = content("240", 144, 0.02), content("1440", 864, 0.01)
    two["methods"] = {**one["methods"], "primd": one["methods"]["linear"], "momke": one["methods"]["linear"]}
    two["pairs"] = {**two["pairs"], "momke/primd": {"avg6": turned(CELL)}}
    told = field_claims({"240": one, "1440": two})
    assert "cmarr ahead of dicmor" in told and "240 utterances, UAR in %" in told
    (asked,) = [line for line in told.splitlines() if "primd ahead of momke" in line]
    assert asked.count("not run") == 1 and "+2.1 [+1.0, +3.0], better" in asked
    assert f"240 utterances: of {len(FIELD_CLAIMS)} printed orders {len(FIELD_CLAIMS)} not run." in told
    assert (
        f"printed orders 1 came again, {len(FIELD_CLAIMS) - 1} not run. 2 of 5 corpora, 1 seed, 4 of" in told
    )


def test_sizes_with_other_methods_stand_in_one_table_and_one_legend():
    few, more = content("240", 144, 0.02), content("mosi", 1150, 0.1, "MAE")
    more["methods"]["imder"] = more["methods"]["linear"] | {"avg6": None, "intervals": {"avg6": [None, None]}}
    more["methods"]["primd"] = more["methods"]["linear"] | {"intervals": {"avg6": [None, None]}}
    found = {"240": few, "mosi": more}
    rows = {line.split("|")[1].strip(): line for line in field_costs(found).splitlines() if "|" in line}
    assert list(rows)[2:] == [m for m in METHODS if m in more["methods"]]
    assert [rows["primd"].split("|")[n].strip() for n in (2, 4, 5)] == ["not run", "0.750", "2.0"]
    assert rows["imder"].split("|")[4].strip() == "-"
    assert (
        "CMU-MOSI, trained on 1,150: 2 corpora, 1 seed, 4 of 21 methods (gaussian, linear, primd, imder)."
        in field_costs(found)
    )
    (legend,) = cost_figure(found).legends
    assert [text.get_text() for text in legend.get_texts()] == ["gaussian", "linear", "primd"]


def test_what_a_part_of_the_plan_is():
    own = content("5000", 3000, 0.02)
    own["methods"] |= {"cmarr": {"seeds": 5}, "mcur": {"seeds": 3}, "cyin": {"seeds": 3}}
    said = "2 of 5 corpora, 5 seeds (3 of mcur, cyin; closed forms have one), 5 of 21 methods (gaussian, linear, cmarr,"
    assert part(own).startswith(said) and in_short(own) == "2 of 5 corpora, 3 to 5 seeds, 5 of 21 methods"
    own["methods"] = {name: {"seeds": 5} for name in METHODS}
    own["corpora"] = list("abcde")
    assert part(own) == "5 corpora, 5 seeds (closed forms have one), all 21 methods"
