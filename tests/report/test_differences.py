import pytest

from cmarr.errors import UserError
from cmarr.report.differences import differences_text, experiments_text
from cmarr.task import Task
from tests.evaluation.conftest import simulated as simulated_with

NAMES = ("new", "old")


def simulated(**keywords):
    return simulated_with(**{"seeds": (1,), "utterances": 12} | keywords)


def row(text: str, name: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(name)).split()


def test_a_gain_that_the_test_carries_is_called_one():
    text = differences_text(
        NAMES, simulated(strength=4, folds=4), simulated(strength=0.2, folds=4), title="demo"
    )
    assert text.startswith("demo\nUAR in %, mean over folds and seeds")
    assert "8 clusters" in text
    assert "Only 8 clusters: with fewer than 20" in text
    assert row(text, "avg7")[-1] == "better"
    assert row(text, "available")[:3] == ["available", "new", "old"]


def test_with_one_seed_it_is_the_models_that_are_better_and_with_several_the_methods():
    def told(seeds: tuple[int, ...]) -> str:
        frames = (simulated(strength=s, folds=4, seeds=seeds) for s in (4, 0.2))
        return differences_text(NAMES, *frames, title="demo")

    one, several = told((1,)), told((1, 2, 3))
    assert "One seed: what is shown is shown of these trained models, not of the methods" in one
    assert "dialogues) resampled; p" in one
    assert "One seed" not in several
    assert "dialogues) and seeds resampled; p" in several
    assert row(several, "avg6")[2] == "±" and row(several, "avg6")[3].endswith(",")  # over folds, over seeds


def test_a_gain_that_it_does_not_carry_is_not():
    """Four clusters: no p is below 2 / 16, however large the difference."""
    text = differences_text(
        NAMES, simulated(strength=4, folds=2), simulated(strength=0.1, folds=2), title="demo"
    )
    assert not any(line.endswith(("better", "worse")) for line in text.splitlines())
    assert row(text, "avg7")[-3:] == ["no", "difference", "shown"]
    assert (
        "With 4 clusters no test can show a difference, however large it is: no p falls below 0.125" in text
    )


def test_a_smaller_error_is_the_better_one():
    frames = [simulated(task=Task(), strength=s, folds=4) for s in (1.0, 0.1)]
    text = differences_text(NAMES, *frames, title="mosi")
    assert text.startswith("mosi\nMAE, mean")
    assert row(text, "avg7")[-1] == "better"


def test_what_nobody_can_meet_is_a_dash():
    frames = [simulated(video=False, strength=s) for s in (1.0, 0.5)]
    text = differences_text(NAMES, *frames, title="demo")
    assert row(text, "sv") == ["sv", *["-"] * 6]
    assert "avg6 of t, s, st" in text


def test_experiments_are_compared_method_by_method():
    strong, weak = simulated(strength=2), simulated()
    text = experiments_text(
        NAMES, {"cmarr": strong, "masked": weak}, {"masked": weak, "linear": weak}, dataset="demo"
    )
    assert "demo, masked: new - old\nthe same answers to every utterance" in text
    assert "only in new: cmarr\n" in text
    assert "only in old: linear\n" in text
    with pytest.raises(UserError, match="no method has answered in both: new has cmarr, old has linear"):
        experiments_text(NAMES, {"cmarr": strong}, {"linear": weak}, dataset="demo")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"utterances": 11}, "new and old cannot be compared: fold .*, utterance .* one method only"),
        ({"corpus": 1}, "new and old cannot be compared: .* disagree"),
        ({"task": Task()}, "new answers anger, neutral, sadness, old answers scores"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, told):
    with pytest.raises(UserError, match=told):
        differences_text(NAMES, simulated(), simulated(**other), title="demo")


def test_a_misspelt_metric_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"'UAT'.*did you mean 'UAR'"):
        differences_text(NAMES, simulated(), simulated(), title="demo", metric="UAT")


def test_small_letters_find_the_metric_too():
    with pytest.raises(UserError, match=r"'uar'.*did you mean 'UAR'"):
        differences_text(NAMES, simulated(), simulated(), title="demo", metric="uar")
