import dataclasses

import pytest

from cmarr.tracking.results import FoldResult, content_hash, costs, mean_curves, params, summary


def test_nested_settings_become_dotted_params():
    settings = {"beta": 0.5, "lambda": 0, "train": {"lr": 0.001, "amp": False, "clip": None}, "seeds": [0, 1]}
    assert params(settings) == {
        "beta": "0.5",
        "lambda": "0",
        "train.lr": "0.001",
        "train.amp": "false",
        "train.clip": "null",
        "seeds": "0, 1",
    }


def test_means_carry_the_plain_name_and_averages_their_spread():
    metrics = {
        "WAR": {
            "st": {"mean": 0.7, "std": 0.1, "lo": 0.6, "hi": 0.8, "n": 5},
            "avg6": {"mean": 0.6, "std": 0.2, "lo": 0.5, "hi": 0.7, "n": 5},
        }
    }
    assert summary(metrics) == {
        "WAR/st": 0.7,
        "WAR/avg6": 0.6,
        "WAR/avg6/std": 0.2,
        "WAR/avg6/lo": 0.5,
        "WAR/avg6/hi": 0.7,
    }


def test_a_condition_that_cannot_be_met_is_left_out():
    assert summary({"UAR": {"v": {"mean": None, "n": 0}, "s": {"mean": 0.0, "n": 5}}}) == {"UAR/s": 0.0}


def test_costs_are_the_numbers_of_the_cost_file():
    cost = {"seconds": 3, "device": "cpu", "memory": {"peak": 1.5}, "resumed": True}
    assert costs(cost) == {"cost/seconds": 3.0, "cost/memory/peak": 1.5}


def test_a_mean_curve_averages_the_folds_that_got_that_far():
    folds = [
        FoldResult(0, 0, {}, curves=[(0, "total", 4.0), (1, "total", 3.0)]),
        FoldResult(1, 0, {}, curves=[(0, "total", 2.0), (1, "total", float("nan"))]),
    ]
    assert mean_curves(folds) == [(0, "total", 3.0), (1, "total", 3.0)]


def test_a_run_is_named_by_method_variant_and_what_is_special(example):
    assert example(beta=0.5).name == "cmarr beta=0.5"
    assert example(variant="no-umc", highlights={}).name == "cmarr no-umc"


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "mosi"},
        {"method": "masked"},
        {"variant": "no-umc"},
        {"settings": {"beta": 0.2}},
        {"metrics": {"UAR": {"st": {"mean": 0.1}}}},
        {"data_hash": "f" * 32},
    ],
)
def test_another_result_has_another_content_hash(example, change):
    assert content_hash(dataclasses.replace(example(), **change)) != content_hash(example())


def test_the_same_scores_found_by_another_commit_are_the_same_result(example):
    restored = example(tags={"git_commit": "abc"}, cost={"seconds": 0.1}, note="again", figures={})
    assert content_hash(restored) == content_hash(example())


def test_where_there_is_a_headline_it_alone_is_logged():
    from tests.tracking.conftest import small_result

    fold = FoldResult(0, 0, {"UAR/avg6": 0.5, "UAR/st": 0.6, "MF1/st": 0.7, "UAR/v": None})
    whole = small_result()
    assert whole.scores["UAR/avg6/std"] == 0.03 and whole.scores_of(fold).keys() == {
        "UAR/avg6",
        "UAR/st",
        "MF1/st",
    }
    short = small_result(headline={"UAR": {"avg6": 0.55, "v": None}})
    assert short.scores == {"UAR/avg6": 0.55}
    assert short.scores_of(fold) == {"UAR/avg6": 0.5}
