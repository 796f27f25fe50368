import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from cmarr.analyses.calibration import (
    BINS,
    calibration,
    counted,
    expected_calibration_error,
    reliability,
)
from cmarr.evaluation.predictions import columns
from cmarr.evaluation.sufficient_statistics import ROWS, gather
from cmarr.modalities import CONDITIONS
from cmarr.task import Task


def test_the_calibration_error_by_hand():
    """Two answers of confidence 0.9, one of them right; two of 0.6, both right: (|1.8 - 1| + |1.2 - 2|) / 4."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    assert expected_calibration_error(probabilities, np.array([0, 1, 0, 1])) == pytest.approx(0.4)


def test_distances_of_one_bin_cancel_and_those_of_two_do_not():
    """0.61 and 0.66 share the bin from 9/15 to 10/15; 0.66 and 0.67 are on either side of 10/15."""
    near, far = (np.array([[a, 1 - a], [b, 1 - b]]) for a, b in ((0.61, 0.66), (0.66, 0.67)))
    truth = np.array([0, 1])
    assert expected_calibration_error(near, truth) == pytest.approx(0.27 / 2)
    assert expected_calibration_error(far, truth) == pytest.approx((0.34 + 0.67) / 2)


def test_a_confidence_on_an_edge_belongs_below_it():
    certain = np.array([[1.0, 0.0]])
    assert expected_calibration_error(certain, np.array([0])) == 0.0
    # Of four bins 0.75 ends the third, where 0.7 is: |0.75 + 0.7 - 1| / 2. In the fourth the two would not cancel.
    pair = np.array([[0.75, 0.25], [0.7, 0.3]])
    assert expected_calibration_error(pair, np.array([0, 1]), bins=4) == pytest.approx(0.45 / 2)


def found(frames, task, **keywords) -> pd.DataFrame:
    return calibration(frames, task, resamples=100, **keywords).set_index(["metric", "condition"])


def test_values_are_those_of_scikit_learn_over_all_folds_and_the_mean_over_seeds(simulate, emotions):
    frames = simulate()
    table = found(frames, emotions)
    rows = pd.concat(frames).query("condition == 'st' and n_usable > 0")
    brier, nll = [], []
    for _, run in rows.groupby("seed"):
        truth = run["label"].map(emotions.classes.index)
        brier.append(brier_score_loss(truth, run[columns(emotions)], labels=range(3), scale_by_half=False))
        nll.append(log_loss(truth, run[columns(emotions)], labels=range(3)))
    assert table.loc[("Brier", "st"), "value"] == pytest.approx(np.mean(brier), abs=1e-6)
    assert table.loc[("NLL", "st"), "value"] == pytest.approx(np.mean(nll), abs=1e-6)
    assert table.loc[("Brier", "avg7"), "value"] == pytest.approx(
        table.loc["Brier"].loc[list(CONDITIONS), "value"].mean(), abs=1e-6
    )


def test_intervals_hold_their_values_and_repeat(simulate, emotions):
    table = found(simulate(), emotions)
    for measure in ("Brier", "NLL"):
        rows = table.loc[measure]
        assert list(rows.index) == list(ROWS)
        assert (rows["lo"] < rows["value"]).all()
        assert (rows["value"] < rows["hi"]).all()
    pd.testing.assert_frame_equal(found(simulate(), emotions), table)


def test_the_diagram_is_the_error(simulate, emotions):
    """With one seed ECE is the distance between the diagram's two columns, weighted by its third."""
    frames = simulate(seeds=(1,))
    bins = reliability(frames, emotions)
    assert bins.groupby("condition").size().unique() == [BINS]
    own = bins[bins["condition"] == "svt"].dropna()
    error = (own["n"] * (own["confidence"] - own["accuracy"]).abs()).sum() / own["n"].sum()
    assert found(frames, emotions).loc[("ECE", "svt"), "value"] == pytest.approx(error, abs=1e-5)
    assert ((own["lower"] < own["confidence"]) & (own["confidence"] <= own["upper"])).all()


def test_probabilities_that_are_true_score_about_what_they_are_said_to(emotions, simulate):
    """Truths drawn from the answered probabilities: ECE is then near `calibrated`, and not near zero."""
    draw = np.random.default_rng(0)
    errors, expected = [], []
    for corpus in range(10):
        frame = simulate(corpus=corpus, folds=1, seeds=(1,), utterances=60, absent=0.0)[0]
        chances = frame[columns(emotions)].to_numpy().cumsum(1)
        truth = (draw.random((len(frame), 1)) > chances[:, :2]).sum(1)
        frame["label"] = np.array(emotions.classes)[truth]
        row = found(frame, emotions).loc[("ECE", "svt")]
        errors.append(row["value"])
        expected.append(row["calibrated"])
    assert np.mean(expected) == pytest.approx(np.mean(errors), rel=0.15)


def test_an_unmet_condition_has_no_number_and_leaves_the_average(simulate, emotions):
    table = found(simulate(video=False), emotions)
    assert table["value"].isna()["ECE"].loc[["v", "vt", "sv", "svt"]].all()
    assert table.loc[("ECE", "avg6"), "covers"] == "t s st"
    assert table.loc[("ECE", "avg6"), "value"] == pytest.approx(
        table.loc["ECE"].loc[["t", "s", "st"], "value"].mean(), abs=1e-6
    )


def test_who_has_nothing_usable_counts_in_the_second_column_alone(simulate, emotions):
    row = found(simulate(absent=0.3), emotions).loc[("NLL", "t")]
    assert row["n"] < row["n_all"]
    assert row["all"] > row["value"]  # the prior of equal chances is worse than what was heard


def test_conditions_are_met_fold_by_fold(simulate, emotions):
    """A fold without video has no part in the condition of speech and video."""
    frames = [*simulate(folds=1, seeds=(1,)), *simulate(folds=2, seeds=(1,), video=False)[1:]]
    assert set(counted(gather(frames)).query("condition == 'sv'")["fold"]) == {0}


def test_a_score_has_no_probabilities(simulate):
    frames = simulate(task=Task())
    assert calibration(frames, Task()).empty
    assert reliability(frames, Task()).empty
