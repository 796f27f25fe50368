"""The simulated studies: intervals hold what they should about as often as they say, and chance is not shown."""

from benchmarks.intervals import coverage, false_positives


def test_intervals_hold_the_truth_and_equals_are_rarely_told_apart():
    assert coverage(10, 20, resamples=150) >= 0.8
    found = false_positives(8, 25, resamples=100)
    assert found["shown"] <= 0.12
    assert found["shown"] <= min(found["p < 0.05"], found["interval without zero"])
