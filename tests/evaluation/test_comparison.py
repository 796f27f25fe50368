import pytest

from cmarr.errors import UserError
from cmarr.evaluation.comparison import compare, compare_all, corrected
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import summarise
from cmarr.task import Task


def test_the_difference_is_that_of_the_headlines_and_turns_its_sign(simulate, emotions):
    strong, weak = simulate(strength=3), simulate(strength=0.2)
    there, back = (
        compare(strong, weak, emotions, resamples=200),
        compare(weak, strong, emotions, resamples=200),
    )
    one, two = (summarise(x, emotions, resamples=20)["UAR"]["avg6"]["mean"] for x in (strong, weak))
    cell, turned = there["UAR"]["avg6"], back["UAR"]["avg6"]
    assert cell["difference"] == pytest.approx(one - two, abs=2e-6)
    assert cell["lo"] < cell["difference"] < cell["hi"]
    assert (turned["lo"], turned["hi"], turned["p"]) == pytest.approx((-cell["hi"], -cell["lo"], cell["p"]))


def test_a_clear_gain_is_shown_and_the_loser_sees_it_as_a_loss(simulate, emotions):
    strong, weak = simulate(strength=4, folds=4), simulate(strength=0.2, folds=4)
    assert compare(strong, weak, emotions, resamples=300)["UAR"]["avg6"]["shown"] == 1
    assert compare(weak, strong, emotions, resamples=300)["UAR"]["avg6"]["shown"] == -1


def test_a_smaller_error_is_the_better_one(simulate):
    good, bad = (simulate(task=Task(), strength=s, folds=4) for s in (1.0, 0.1))
    cell = compare(good, bad, Task(), resamples=300)["MAE"]["avg6"]
    assert cell["difference"] < 0
    assert cell["shown"] == 1


def test_a_method_is_not_better_than_itself(simulate, emotions):
    frames = simulate()
    for metric, rows in compare(frames, frames, emotions, resamples=100).items():
        for cell in rows.values() if metric != "meta" else ():
            assert (cell["difference"], cell["lo"], cell["hi"], cell["p"], cell["shown"]) == (0, 0, 0, 1, 0)


def test_too_few_clusters_show_nothing_however_clear_the_gain(simulate, emotions):
    """With four clusters no p is below 2 / 16."""
    found = compare(simulate(strength=4, folds=2), simulate(strength=0.1, folds=2), emotions, resamples=200)
    cell = found["UAR"]["avg7"]
    assert cell["lo"] > 0
    assert cell["p"] == pytest.approx(2 / 16)
    assert cell["shown"] == 0
    assert found["meta"] == {"clusters": 4, "exact": True}


def test_an_unmet_condition_has_no_difference(simulate, emotions):
    cell = compare(simulate(video=False), simulate(video=False), emotions, resamples=50)["WAR"]["v"]
    assert cell == {"difference": None, "lo": None, "hi": None, "p": None, "p_holm": None, "shown": 0}


def test_a_deterministic_method_meets_every_seed_of_the_other(simulate, emotions):
    found = compare(simulate(seeds=(1, 2, 3)), simulate(seeds=(1,), strength=0.5), emotions, resamples=20)
    one, two = (
        summarise(simulate(seeds=s, strength=g), emotions, resamples=20)["WAR"]["s"]["mean"]
        for s, g in (((1, 2, 3), 1.0), ((1,), 0.5))
    )
    assert found["WAR"]["s"]["difference"] == pytest.approx(one - two, abs=2e-6)
    with pytest.raises(UserError, match="3 seeds, the other 2"):
        compare(simulate(seeds=(1, 2, 3)), simulate(seeds=(1, 2)), emotions)


def test_methods_that_answered_other_utterances_are_not_compared(simulate, emotions):
    with pytest.raises(UserError, match="one method only"):
        compare(simulate(), simulate(utterances=19), emotions)
    with pytest.raises(UserError, match="disagree"):
        compare(simulate(), simulate(corpus=1), emotions)


def cell(difference: float, p: float) -> dict:
    reach = abs(difference) / 2
    bounds = {"lo": difference - reach, "hi": difference + reach}
    return {"difference": difference, **bounds, "p": p, "p_holm": p, "shown": 1 if difference > 0 else -1}


def comparison(difference: float, p: float) -> dict:
    return {"UAR": dict.fromkeys(ROWS, cell(difference, p)), "meta": {}}


def test_a_claim_is_corrected_over_all_that_the_method_claims_to_beat():
    """a beats b, c and d with 0.01, 0.02, 0.03; Holm over the three: 0.03, 0.04, 0.04. c - d belongs to d's three."""
    found = corrected(
        {
            ("a", "b"): comparison(0.1, 0.01),
            ("a", "c"): comparison(0.1, 0.02),
            ("d", "a"): comparison(-0.1, 0.03),
            ("c", "d"): comparison(-0.1, 0.02),
            ("b", "c"): comparison(0.1, 0.5),
            ("b", "d"): comparison(0.1, 0.5),
        }
    )
    p = {pair: cells["UAR"]["avg6"]["p_holm"] for pair, cells in found.items()}
    assert [p["a", "b"], p["a", "c"], p["d", "a"]] == pytest.approx([0.03, 0.04, 0.04])
    assert p["c", "d"] == pytest.approx(0.06)  # of d's 0.02, 0.03, 0.5 the smallest: three times
    assert found["d", "a"]["UAR"]["avg6"]["shown"] == -1
    assert found["c", "d"]["UAR"]["avg6"]["shown"] == 0


def test_correction_can_take_a_win_back(simulate, emotions):
    """With six clusters no p is below 2 / 64, and twice that shows nothing any more."""
    strong, weak = simulate(strength=4), simulate(strength=0.1)
    alone = compare(strong, weak, emotions)["UAR"]["avg6"]
    assert alone["p"] == pytest.approx(2 / 64)
    assert alone["shown"] == 1
    among = compare_all({"strong": strong, "weak": weak, "third": simulate(strength=0.11)}, emotions)
    assert among["strong", "weak"]["UAR"]["avg6"]["p_holm"] == pytest.approx(4 / 64)
    assert among["strong", "weak"]["UAR"]["avg6"]["shown"] == 0
