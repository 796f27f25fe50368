import numpy as np
import pytest
from scipy import stats

from cmarr.evaluation.resampling import bootstrap_interval, holm, smallest_p, swap_p_values, tail


def mean_of(values: np.ndarray):
    return lambda weights: (weights @ values / weights.sum(1))[:, None]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        lo, hi = bootstrap_interval(mean_of(draw.normal(size=10)), 10, resamples=400)
        hits += lo[0] <= 0 <= hi[0]
    assert 0.90 <= hits / 200 <= 0.99


def test_few_clusters_widen_the_interval_and_many_do_not():
    # Ten clusters: Student's 2.262 times sqrt(10 / 9), on the normal curve.
    assert tail(10) == pytest.approx(stats.norm.sf(2.262157 * (10 / 9) ** 0.5), rel=1e-5)
    assert tail(100_000) == pytest.approx(0.025, rel=1e-3)


def test_one_cluster_has_no_interval():
    lo, hi = bootstrap_interval(mean_of(np.array([0.3])), 1)
    assert np.isnan([lo[0], hi[0]]).all()


def test_a_value_that_some_draws_lack_is_judged_by_the_others():
    """Cluster 0 alone has a value: every draw that holds it gives 5, the others nothing."""
    lo, hi = bootstrap_interval(lambda w: np.where(w[:, :1] > 0, 5.0, np.nan), 3, resamples=100)
    assert (lo[0], hi[0]) == (5.0, 5.0)


def paired(gains: list[float]):
    """Swapping a cluster turns its gain round."""
    return lambda swaps: ((1 - 2 * swaps) @ np.array(gains))[:, None]


@pytest.mark.parametrize(
    ("gains", "p"),
    [
        ([1.0, 2.0], 2 / 4),  # sums 3 1 -1 -3: as far out as 3 are two of four
        ([1.0, 2.0, 4.0], 2 / 8),
        ([1.0, 2.0, -4.0], 1.0),  # observed -1; all of +-7 +-5 +-3 +-1 are at least as far out
        ([3.0, 0.0], 1.0),  # 3 3 -3 -3
    ],
)
def test_the_exact_permutation_test_by_hand(gains, p):
    assert swap_p_values(paired(gains), len(gains))[0] == pytest.approx(p)


def test_one_cluster_tells_nothing():
    p = swap_p_values(lambda swaps: np.stack([1 - 2 * swaps[:, 0], np.full(len(swaps), np.nan)], 1), 1)
    np.testing.assert_array_equal(p, [1.0, np.nan])


def test_beyond_twelve_clusters_swaps_are_drawn_and_repeat():
    first, again = (swap_p_values(paired([0.1] * 20), 20)[0] for _ in range(2))
    assert first == again
    assert 0 < first < 0.01  # never zero: the observed assignment counts as one


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("clusters", [1, 2, 5, 6, 12, 30])
def test_no_p_falls_below_the_smallest_one_however_large_the_difference(clusters):
    found = swap_p_values(paired([1e9] * clusters), clusters)[0]
    assert found == pytest.approx(smallest_p(clusters))
    assert smallest_p(clusters, comparisons=3) == pytest.approx(min(1, 3 * smallest_p(clusters)))
