import numpy as np
import pytest

from cmarr.analyses.importance import evenness, importance, importance_section, shapley
from cmarr.evaluation.summary import summarise
from cmarr.task import Task

PRIORS = {fold: [0.5, 0.3, 0.2] for fold in range(3)}


def test_the_values_of_a_game_by_hand():
    """Speech is worth 4 alone, text 1, both 7: speech gains 4 when first and 6 when second, text 1 or 3."""
    worth = {frozenset(s): np.array(float(v)) for s, v in {"": 0, "s": 4, "t": 1, "st": 7}.items()}
    assert shapley(worth, "st").tolist() == [5.0, 2.0]


def test_three_players_share_what_they_only_reach_together():
    worth = {frozenset(s): np.array(0.0) for s in ("", "s", "v", "t", "sv", "st", "vt")}
    assert shapley(worth | {frozenset("svt"): np.array(1.0)}, "svt") == pytest.approx([1 / 3] * 3)


def test_the_values_sum_to_the_complete_score_minus_the_priors(simulate, emotions):
    frames = simulate()
    scores = summarise(frames, emotions, resamples=20)
    found = importance(frames, emotions, PRIORS, resamples=50)
    for metric, rows in found.groupby("metric"):
        assert rows["complete"].iloc[0] == pytest.approx(scores[metric]["svt"]["mean"])
        assert rows["value"].sum() == pytest.approx(
            rows["complete"].iloc[0] - rows["prior"].iloc[0], abs=3e-6
        )
        assert (rows["lo"] < rows["value"]).all()
        assert (rows["value"] < rows["hi"]).all()


def test_nothing_is_worth_what_the_training_prior_scores(simulate, emotions):
    frames = simulate(absent=0.0)
    found = importance(frames, emotions, PRIORS, resamples=20).set_index("metric")
    assert found.loc["UAR", "prior"].unique() == pytest.approx([1 / 3])
    anger = np.mean([(frame["label"] == "anger").mean() for frame in frames])
    assert found.loc["WAR", "prior"].unique() == pytest.approx([anger], abs=1e-6)


def test_a_score_has_importances_too_and_a_gain_in_error_is_negative(simulate):
    frames = simulate(task=Task())
    found = importance(frames, Task(), {fold: [0.0] for fold in range(3)}, resamples=50).set_index("metric")
    assert found.loc["Corr", "prior"].unique() == [0.0]  # a constant explains nothing
    assert (found.loc["MAE", "value"] < 0).all()


def test_a_modality_that_the_corpus_lacks_is_no_player(simulate, emotions):
    found = importance(simulate(video=False), emotions, PRIORS, resamples=20)
    uar = found[found["metric"] == "UAR"].set_index("modality")
    assert np.isnan(uar.loc["v", "value"])
    assert uar["covers"].unique() == ["st"]
    assert uar["value"].sum() == pytest.approx(uar["complete"].iloc[0] - uar["prior"].iloc[0], abs=3e-6)


def test_without_a_set_of_modalities_there_is_no_game(simulate, emotions):
    """Text and speech exist, but never in one utterance."""
    frames = [
        frame.assign(n_usable=frame["n_usable"].clip(upper=1)) for frame in simulate(video=False, absent=0.0)
    ]
    assert importance(frames, emotions, PRIORS, resamples=20)["value"].isna().all()


def test_evenness_by_hand():
    """Shares 3/4 and 1/4 of two: (3 ln(4/3) + ln 4) / 4 over ln 2."""
    assert evenness([0.3, 0.1]) == pytest.approx(0.811278, abs=1e-6)
    assert evenness([0.3, 0.1, -0.2]) == pytest.approx(0.811278 * np.log(2) / np.log(3), abs=1e-6)
    assert evenness([2.0, 2.0, 2.0]) == pytest.approx(1.0) and evenness([1.0, 0.0, -3.0]) == 0.0
    assert np.isnan(evenness([0.4])) and np.isnan(evenness([-1.0, 0.0])) and np.isnan(evenness([]))


def test_the_report_says_how_evenly_of_a_score_and_of_an_error(simulate, emotions):
    for task, priors in ((emotions, PRIORS), (Task(), {fold: [0.0] for fold in range(3)})):
        found = importance(simulate(task=task), task, priors, resamples=20)
        (row,) = importance_section({"masked": found}, task).blocks[1].frame.to_dict("records")
        assert 0 < float(row["evenness"]) <= 1
