import numpy as np
import pytest
from scipy import stats

from cmarr.evaluation.max_t import family_p, own_p, swapped_t, with_seeds
from cmarr.evaluation.resampling import (
    bootstrap_interval,
    interval,
    over_seeds,
    seed_variance,
    smallest_p,
    swaps,
    tail,
)


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


def under_swaps(*gains: list[float]) -> np.ndarray:
    """(B, V) |t| when each of V gains, a number a cluster, is turned round in the swapped clusters."""
    by_cluster = np.array(gains).T
    return swapped_t((1 - 2 * swaps(len(by_cluster))) @ by_cluster, np.full(len(gains), len(by_cluster)))[0]


@pytest.mark.parametrize(
    ("gains", "p"),
    [
        ([1.0, 2.0], 2 / 4),  # sums 3 1 -1 -3: as far out as 3 are two of four
        ([1.0, 2.0, 4.0], 2 / 8),
        ([1.0, 2.0, -4.0], 1.0),  # observed -1; all of +-7 +-5 +-3 +-1 are at least as far out
        ([3.0, 0.0], 1.0),  # 3 3 -3 -3
        ([1.0, 1.0, 1.0], 2 / 8),  # no variance is left, but for rounding
        ([0.0, 0.0, 0.0], 1.0),
    ],
)
def test_the_exact_test_by_hand(gains, p):
    t = under_swaps(gains)
    assert own_p(t, t[0])[0] == pytest.approx(p)
    assert family_p(t, t[0])[0] == pytest.approx(p)


def test_t_is_that_of_the_clusters_gains():
    gains = [0.3, 0.1, -0.2, 0.4, 0.25]
    swapped, variance = swapped_t((1 - 2 * swaps(5)) @ np.array([gains]).T / 5, np.array([5]))
    assert swapped[0, 0] == pytest.approx(stats.ttest_1samp(gains, 0).statistic)
    assert variance[0] == pytest.approx(np.var(gains, ddof=1) / 5)


def test_the_family_by_hand():
    """Of the four ways to swap three clusters none is as extreme for the first as what was observed; for the second,
    the largest of both counts, and after the first is taken away only its own."""
    t = under_swaps([1.0, 1.1, 1.2], [1.0, 1.1, -0.2])
    own, family = own_p(t, t[0]), family_p(t, t[0])
    assert own.tolist() == [0.25, 0.5]
    assert family.tolist() == [0.25, 0.5]
    assert family_p(t[:, ::-1], t[0, ::-1]).tolist() == [0.5, 0.25]
    apart = under_swaps(
        [1.0, 1.1, 1.2, 1.0], [1.0, -1.1, 1.2, -1.0]
    )  # another's extreme swap is no swap of mine
    assert family_p(apart, apart[0])[0] == pytest.approx(2 / 8)
    assert own_p(apart, apart[0])[0] == pytest.approx(1 / 8)


def test_seeds_make_t_smaller_and_never_larger():
    t, variance, clusters = np.array([2.0, 2.0, 2.0]), np.ones(3), np.full(3, 10)
    none, some, many = (with_seeds(t, variance, clusters, [(np.full(3, v), 3)]) for v in (0.0, 0.5, 50.0))
    assert none.tolist() == t.tolist()
    assert (some < t).all()
    assert (many < some).all()
    # Many seeds: their degrees of freedom do not come to those of the clusters.
    steady = with_seeds(t, variance, clusters, [(np.full(3, 0.5), 100)])
    assert steady == pytest.approx(t / 1.5**0.5)
    # Seeds alone: Student's with two degrees of freedom.
    p = 2 * stats.t.sf(with_seeds(t * 100, variance * 1e-9, clusters, [(variance * 100, 3)]), 9)
    assert p == pytest.approx(2 * stats.t.sf(20, 2), rel=1e-6)


def test_beyond_twelve_clusters_swaps_are_drawn_and_repeat():
    np.testing.assert_array_equal(swaps(20), swaps(20))
    assert not swaps(20)[0].any()
    t = under_swaps([0.1] * 20)
    assert 0 < own_p(t, t[0])[0] < 0.01  # never zero: what was observed counts as one


@pytest.mark.parametrize("clusters", [2, 5, 6, 12, 30])
def test_no_p_falls_below_the_smallest_one_however_large_the_difference(clusters):
    t = under_swaps([1e9] * clusters)
    assert own_p(t, t[0])[0] == pytest.approx(smallest_p(clusters))


@pytest.mark.parametrize("clusters", [6, 10])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_over_seeds_and_clusters_cover_the_truth(clusters, seeds):
    """A mean of clusters and seeds, crossed, with as much variance from one as from the other."""
    draw, hits, of = np.random.default_rng([clusters, seeds]), 0, 300
    for _ in range(of):
        values = draw.normal(0, clusters**0.5, (1, clusters)) + draw.normal(0, seeds**0.5, (seeds, 1))
        resampled = values.mean(0)[draw.integers(clusters, size=(400, clusters))].mean(1)[None]
        seed = seed_variance(values.mean(1)[:, None])
        lo, hi = over_seeds(*interval(resampled, clusters), values.mean()[None], [seed])
        hits += lo[0] <= 0 <= hi[0]
    assert 0.95 - 2 * (0.05 * 0.95 / of) ** 0.5 <= hits / of


def test_what_seeds_add_to_an_interval_by_hand():
    """Three seeds, 0.6, 0.7, 0.8: variance of the mean 0.01 / 3, and Student's 4.303 for two degrees of freedom."""
    found = seed_variance(np.array([[0.6], [0.7], [0.8]]))
    assert found[0] == pytest.approx(0.01 / 3)
    lo, hi = over_seeds(np.array([0.5]), np.array([0.8]), np.array([0.7]), [found, found])
    reach = 2 * 4.302653**2 * 0.01 / 3
    assert lo[0] == pytest.approx(0.7 - (0.2**2 + reach) ** 0.5)
    assert hi[0] == pytest.approx(0.7 + (0.1**2 + reach) ** 0.5)


def test_seeds_that_agree_add_nothing():
    same = seed_variance(np.array([[0.1 + 0.6], [0.7], [0.2 + 0.5]]))  # but for rounding
    assert same[0] == 0
    one = seed_variance(np.array([[0.7]]))
    bounds = over_seeds(np.array([0.5]), np.array([0.8]), np.array([0.7]), [same, one])
    assert [x[0] for x in bounds] == pytest.approx([0.5, 0.8])
