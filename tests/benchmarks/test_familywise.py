"""The simulated studies: nothing false is shown more often than it may be, and intervals hold what they should."""

from benchmarks.familywise import false, held, power


def test_equals_are_rarely_told_apart_where_the_former_rule_told_them_apart_often():
    found = false(18, methods=4, rows=9, clusters=8, seeds=3, resamples=60)
    assert found["after"] <= 0.12
    assert found["before"] >= 0.5


def test_a_better_method_is_found_and_intervals_hold_the_truth():
    assert power(4, methods=2, rows=1, clusters=16, seeds=5, resamples=60, gain=0.3)["power"] >= 0.5
    shares = held(12, clusters=8, seeds=3, resamples=100)
    assert min(shares.values()) >= 0.75
