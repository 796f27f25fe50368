"""The numbers behind Figure 5, on representations small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest

from cmarr.analyses.recovery import Pair, measure, recovery_table, ridge_prediction
from cmarr.evaluation.resampling import paired_difference

TRUTH = np.array([[[3.0, 0.0]], [[0.0, 3.0]], [[-3.0, 0.0]]])  # three utterances, one step, two channels


def measured(recovered, ridge=TRUTH, truth=TRUTH):
    agrees = np.arange(len(truth)) > 0
    return measure(Pair("s", "t", truth, np.asarray(recovered, float), ridge, agrees))


def test_a_perfect_recovery():
    rows = measured(TRUTH)
    assert rows["cosine"].tolist() == pytest.approx([1, 1, 1])
    assert rows["mse"].tolist() == [0, 0, 0]
    assert rows["unexplained"].tolist() == [0, 0, 0]
    assert rows["rank"].tolist() == [0, 0, 0]


def test_numbers_worked_by_hand():
    rows = measured([[[0.0, 1.0]], [[0.0, 1.0]], [[0.0, 1.0]]])
    # cosine of (0, 1) with (3, 0), (0, 3), (-3, 0): 0, 1, 0
    assert rows["cosine"].tolist() == pytest.approx([0, 1, 0])
    assert rows["cosine_other"].tolist() == pytest.approx([0.5, 0, 0.5])
    # squared distances: 9 + 1, 0 + 4, 9 + 1, over two entries
    assert rows["mse"].tolist() == pytest.approx([5, 2, 5])
    # mean of the truths (0, 1): their mean squared distance from it is (10 + 4 + 10) / 3 = 8, what is left, too
    assert rows["unexplained"].mean() == pytest.approx(1.0)
    assert rows["unexplained"].tolist() == pytest.approx([10 / 8, 4 / 8, 10 / 8])
    # the second truth is nearest to all three; the outer two are equally far
    assert rows["rank"].tolist() == [0.5, 0, 0.5]
    assert rows["agreement"].tolist() == [0, 1, 1]


def test_truth_of_several_steps_counts_every_entry():
    truth = np.arange(12.0).reshape(2, 3, 2)
    rows = measured(np.zeros((2, 3, 2)), ridge=truth, truth=truth)
    assert rows["mse"].tolist() == pytest.approx([np.square(x).mean() for x in truth])
    assert rows["unexplained_ridge"].tolist() == [0, 0]
    spread = np.square(truth - truth.mean((0, 1))).sum((1, 2)).mean()
    assert rows["unexplained"].iloc[0] == pytest.approx(np.square(truth[0]).sum() / spread)


def test_ridge_finds_what_is_linear_and_explains_nothing_of_noise():
    draws = np.random.default_rng(0)
    first, second = draws.normal(size=(2, 80, 4, 3))
    truth = first @ draws.normal(size=(3, 2)) + second @ draws.normal(size=(3, 2)) + 7.0
    answered = ridge_prediction([first[:60], second[:60]], truth[:60], [first[60:], second[60:]])
    assert np.abs(answered - truth[60:]).max() < 0.01
    noise = draws.normal(size=(80, 4, 2))
    answered = ridge_prediction([first[:60]], noise[:60], [first[60:]])
    rows = measure(Pair("s", "t", noise[60:], answered, answered, np.ones(20, bool)))
    assert 0.9 < rows["unexplained_ridge"].mean() < 1.1


def frame(sources, missing, values, fold=1):
    names = [f"u{i}" for i in range(len(values))]
    out = pd.DataFrame(
        {"sources": sources, "missing": missing, "fold": fold, "seed": 0, "id": names, "rank": values}
    )
    out["cluster"] = [f"speaker{i // 4}" for i in range(len(values))]
    for other in ("cosine", "cosine_other", "mse", "unexplained", "unexplained_ridge", "agreement"):
        out[other] = 0.0
    return out


def test_the_table_is_the_mean_over_folds_of_the_mean_over_utterances():
    rows = pd.concat([frame("s", "t", [0.2, 0.4]), frame("s", "t", [0.9], fold=2).assign(id="u9")])
    table = recovery_table(rows)
    assert table["rank"].tolist() == pytest.approx([0.6])
    assert table["n"].tolist() == [3]


def test_two_recoveries_are_compared_utterance_by_utterance():
    draws = np.random.default_rng(1)
    base = draws.uniform(size=40)
    one, other = frame("s", "t", base), frame("t", "s", base + 0.1 + 0.01 * draws.normal(size=40))
    found = paired_difference(one, other, "rank", ["fold", "seed", "id"])
    assert found["difference"] == pytest.approx(-0.1, abs=0.01)
    assert -0.12 < found["lo"] < found["hi"] < -0.08
    assert paired_difference(one, other[:0], "rank", ["fold", "seed", "id"]) is None
