"""Table 3: what each ablation scores, what leaving its part out costs, and what is not shown."""

from dataclasses import replace

import pytest

import cmarr.analyses.ablations as of_ablations
from cmarr.analyses.ablations import (
    Ablations,
    ablations_section,
    ablations_table,
    compare_with_full,
    differences_frame,
    scores_frame,
    verdicts,
)
from cmarr.evaluation.comparison import METHODS, MODELS
from cmarr.evaluation.scores import metrics_of
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.report.published import table_3
from cmarr.task import Task
from tests.evaluation.conftest import EMOTIONS, simulated


@pytest.fixture
def ablations(make_summary, make_comparison, emotions) -> Ablations:
    return Ablations(
        {
            "full": make_summary(emotions, 0.70),
            "w/o udcl": make_summary(emotions, 0.65),
            "w/o spcl": make_summary(emotions, 0.71),
            "w/o flow": make_summary(emotions, 0.75),
        },
        {
            "w/o udcl": make_comparison(emotions, -0.05, shown=-1, p=0.002),
            "w/o spcl": make_comparison(emotions, 0.01, shown=0, p=0.4),
            "w/o flow": make_comparison(emotions, 0.05, shown=1, p=0.002),
        },
    )


def of(frame, variant):
    return frame.set_index("variant").loc[variant]


def test_scores_stand_above_the_paper_s(ablations):
    frame = scores_frame(ablations, "UAR", table_3())
    assert list(frame["variant"])[:4] == ["full", "full (paper)", "w/o udcl", "w/o udcl (paper)"]
    assert list(frame.columns) == ["variant", "t", "s", "v", "vt", "sv", "st", "avg6", "svt"]
    assert of(frame, "w/o udcl")["avg6"] == "65.00 [62.0, 68.0] ± 2.0"
    assert of(frame, "w/o udcl (paper)")["avg6"] == "69.18"
    assert of(frame, "full (paper)")["svt"] == "-"  # the paper's Table 3 has no such row
    assert "w/o flow (paper)" not in set(frame["variant"])
    assert of(scores_frame(ablations, "WAR", table_3()), "full (paper)")["t"] == "69.74"


def test_differences_are_variant_minus_full_with_paired_intervals(ablations):
    frame = differences_frame(ablations, "UAR", table_3())
    assert of(frame, "w/o udcl")["st"] == "-5.00 [-7.5, -2.5]"
    assert of(frame, "w/o spcl")["avg6"] == "+1.00 [-1.0, +3.0]"
    assert of(frame, "w/o udcl (paper)")["avg6"] == "-2.30"  # 69.18 - 71.48
    assert "full" not in set(frame["variant"])


def test_a_part_whose_loss_is_not_shown_to_hurt_is_named(ablations, emotions):
    hurt, open_, helped = verdicts(ablations, emotions)
    assert hurt.endswith("avg6 UAR -5.00 [-7.5, -2.5], p = 0.004: hurts.")
    assert open_.endswith("p = 0.8: **not shown to hurt**.")
    assert helped.endswith(": **helps**.")


def test_all_variants_of_a_method_are_one_table(monkeypatch):
    asked = []
    monkeypatch.setattr(of_ablations, "compare_pairs", lambda every, pairs, task: asked.append(pairs) or {})
    frames = simulated(folds=2, seeds=(1,), utterances=4)
    compare_with_full(frames, {"one": frames, "two": frames}, EMOTIONS)
    assert asked == [[("one", "full"), ("two", "full")]]


def test_too_few_speakers_are_named(ablations, make_summary, emotions):
    few = {label: make_summary(emotions, 0.7, clusters=5) for label in ablations.summaries}
    *_, said = verdicts(Ablations(few, ablations.comparisons), emotions)
    assert said.startswith("**With 5 clusters no test can show a difference")


def test_with_one_seed_it_is_the_trained_models_that_differ(ablations, make_comparison, emotions):
    models = {label: make_comparison(emotions, -0.05, shown=-1, of=MODELS) for label in ablations.comparisons}
    *_, said = verdicts(Ablations(ablations.summaries, models), emotions)
    assert said.startswith(
        "**One seed: what is shown is shown of these trained models, not of the methods.**"
    )
    assert not any("One seed" in line for line in verdicts(ablations, emotions))


def test_a_larger_error_hurts(make_summary, make_comparison):
    scores = Task()
    found = Ablations(
        {"full": make_summary(scores, 0.9), "w/o udcl": make_summary(scores, 1.0)},
        {"w/o udcl": make_comparison(scores, 0.1, shown=-1)},
    )
    (line,) = verdicts(found, scores)
    assert "avg6 MAE +0.100 [+0.05, +0.15]" in line
    assert line.endswith(": hurts.")
    assert "WAR" not in ablations_section({"cmarr": found}, scores, changes={}).markdown("mosi")


def test_conditions_nobody_meets_stay_empty(make_summary, make_comparison, emotions):
    met = ("t", "s", "st")
    nothing = dict.fromkeys(("difference", "lo", "hi", "p", "p_table")) | {"shown": 0, "of": METHODS}
    compared = make_comparison(emotions, 0.01, shown=0)
    compared = {m: dict(cells) | {"v": nothing} if m != "meta" else {} for m, cells in compared.items()}
    found = Ablations(
        {k: make_summary(emotions, 0.7, met=met) for k in ("full", "w/ point")}, {"w/ point": compared}
    )
    assert of(scores_frame(found, "UAR"), "full")["v"] == "-"
    assert of(differences_frame(found, "UAR"), "w/ point")["v"] == "-"
    assert "avg6 of t, s, st" in scores_frame(found, "UAR").columns


def test_the_section_holds_verdicts_scores_differences_and_source(ablations, emotions):
    beside = replace(ablations, paper=table_3(), printed="Table 3")
    page = ablations_section({"cmarr": beside}, emotions, changes={}).markdown("demo")
    for part in (
        "w/o spcl: avg6",
        "UAR, % [95",
        "Each variant minus the full",
        "WAR, %",
        "arXiv 2407.09029, Table 3",
    ):
        assert part in page


def test_without_ablations_the_section_says_so(emotions):
    assert "No ablation has been trained" in ablations_section({}, emotions, changes={}).missing
    assert ablations_table(None, emotions).empty


def test_the_csv_has_every_number(ablations, emotions):
    table = ablations_table(ablations, emotions)
    assert len(table) == 4 * len(metrics_of(emotions)) * len(ROWS)
    row = table[
        (table["variant"] == "w/o udcl") & (table["metric"] == "UAR") & (table["condition"] == "st")
    ].iloc[0]
    assert (row["mean"], row["difference"], row["p"]) == (0.65, -0.05, 0.002)
    assert table[table["variant"] == "full"]["difference"].isna().all()
