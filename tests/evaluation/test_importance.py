import numpy as np
import pytest

from cmarr.analyses.importance import importance, shapley
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
