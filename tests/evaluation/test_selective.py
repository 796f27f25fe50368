import numpy as np
import pandas as pd
import pytest

from cmarr.analyses.risk import area, drawn_areas, risk_coverage, selective
from cmarr.task import Task


def test_the_area_by_hand():
    """Right, wrong, right, wrong: risks 0, 1/2, 1/3, 1/2."""
    assert area(np.array([0.0, 1.0, 0.0, 1.0])) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_what_a_resample_leaves_out_is_not_there():
    """Cluster 1 holds the second utterance alone."""
    loss, cluster = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0, 1, 0, 0])
    drawn = drawn_areas(loss, cluster, np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert drawn == pytest.approx([area(loss), area(np.array([0.0, 1.0, 0.0]))])


def test_two_hundred_steps_are_as_good_as_all():
    draw = np.random.default_rng(0)
    loss = (draw.random(5000) < np.linspace(0, 0.5, 5000)).astype(float)
    drawn = drawn_areas(loss, np.zeros(5000, int), np.ones((1, 1)))
    assert drawn[0] == pytest.approx(area(loss), rel=0.01)


def curve(frames, task) -> pd.Series:
    found = risk_coverage(frames, task)
    return found[found["condition"] == "svt"].set_index("coverage")["risk"]


def test_the_curve_ends_at_the_error_and_answers_the_surest_first(simulate, emotions):
    frames = simulate(strength=3, seeds=(1,), absent=0.0)
    rows = pd.concat(frames).query("condition == 'svt'")
    wrong = np.array(emotions.classes)[rows[["p_anger", "p_neutral", "p_sadness"]].to_numpy().argmax(1)] != (
        rows["label"].to_numpy()
    )
    half = np.argsort(rows["uncertainty"].to_numpy())[: len(rows) // 2]
    found = curve(frames, emotions)
    assert found[1.0] == pytest.approx(wrong.mean(), abs=1e-6)
    assert found[0.5] == pytest.approx(wrong[half].mean(), abs=1e-6)
    assert found[0.5] < found[1.0]


def test_an_uncertainty_that_knows_nothing_gives_the_error_at_every_coverage(simulate, emotions):
    frames = [frame.assign(uncertainty=0.5) for frame in simulate(seeds=(1,))]
    found = curve(frames, emotions)
    assert found.to_numpy() == pytest.approx(np.full(20, found[1.0]), abs=1e-6)
    row = selective(frames, emotions, resamples=20).set_index("condition").loc["svt"]
    assert row["value"] == pytest.approx(found[1.0], abs=1e-6)


def test_areas_lie_in_their_intervals_and_repeat(simulate, emotions):
    found = selective(simulate(), emotions, resamples=100)
    assert (found["lo"] < found["value"]).all()
    assert (found["value"] < found["hi"]).all()
    pd.testing.assert_frame_equal(selective(simulate(), emotions, resamples=100), found)


def test_a_score_has_a_curve_where_the_method_says_how_unsure_it_is(simulate):
    frames = simulate(task=Task(), seeds=(1,), absent=0.0)
    assert risk_coverage(frames, Task()).empty
    assert selective(frames, Task()).empty
    told = [
        frame.assign(uncertainty=(frame["label"] - frame["y_hat"]).abs().rank(pct=True)) for frame in frames
    ]
    found = curve(told, Task())
    assert found.is_monotonic_increasing
    rows = pd.concat(told).query("condition == 'svt'")
    assert found[1.0] == pytest.approx((rows["label"] - rows["y_hat"]).abs().mean(), abs=1e-6)
