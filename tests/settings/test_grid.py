"""The points of the parameter study, and what makes two of them the same."""

from cmarr.settings.grid import curves, studied
from tests.settings.test_variants import resolved

GRIDS = {"alpha": [0.1, 1.0], "beta": [0.1, 0.5], "lambda": [20.0]}


def points(tmp_path, *changes):
    files = resolved(tmp_path, *changes)
    return curves(files, GRIDS, studied(files["report"], GRIDS))


def keys(found):
    return {point.key for curve in found.values() for point in curve}


def test_one_weight_moves_and_its_current_value_is_on_the_curve(tmp_path):
    found = points(tmp_path)
    assert [dict(p.weights) for p in found["lambda"]] == [
        {"alpha": 1.0, "beta": 0.1, "lambda": 10.0},
        {"alpha": 1.0, "beta": 0.1, "lambda": 20.0},
    ]
    assert [p.weights["alpha"] for p in found["alpha"]] == [0.1, 1.0]


def test_the_curves_meet_in_one_point(tmp_path):
    found = points(tmp_path)
    assert found["alpha"][1].key == found["beta"][0].key == found["lambda"][0].key
    assert len(keys(found)) == 4


def test_what_changes_a_result_changes_its_key(tmp_path):
    usual = keys(points(tmp_path))
    for change in ((("train", "lr"), 1e-3), (("seeds",), [1]), (("encoders", "logmel", "bands"), 40)):
        assert not usual & keys(points(tmp_path, change))


def test_what_does_not_change_a_result_leaves_its_key(tmp_path):
    usual = keys(points(tmp_path))
    for change in ((("device",), "cpu"), (("workers",), 1), (("ablate",), ["w_point"])):
        assert usual == keys(points(tmp_path, change))


def test_another_value_of_a_weight_shares_the_points_it_can(tmp_path):
    # With beta 0.5 typed, the point beta 0.5 of the usual grid is where the new curves meet.
    usual, other = points(tmp_path), points(tmp_path, (("beta",), 0.5))
    assert usual["beta"][1].key == other["alpha"][1].key
