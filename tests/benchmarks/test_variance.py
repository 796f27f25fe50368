"""Bias and variance: the training sets have nobody in common, and the parts are what they are called."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.variance import DEALT, DIETS, TESTED, dealt, fed, measured, parted
from tests.evaluation.conftest import EMOTIONS, simulated


def test_training_sets_have_no_speaker_in_common_with_each_other_or_the_test():
    many = {f"a{s:02d}-{i}": f"a{s:02d}" for s in range(20) for i in range(48)}
    few = {f"b{s:02d}-{i}": f"b{s:02d}" for s in range(30) for i in range(24)}
    home = {**many, **few}
    found = dealt([many, few])
    assert [len(sets) for sets in found.values()] == [5, 2, 2, 2, 2, 2, 5]
    for diet, sets in found.items():
        assert {len(s.train) for s in sets} == {diet.utterances}
        heard = [{home[i] for i in [*s.train, *s.validation]} for s in sets]
        assert not any(a & b for a, b in combinations([*heard, {home[i] for i in sets[0].test}], 2))
        assert len({home[i] for i in sets[0].test}) == TESTED
        choosing = 48 * DEALT[diet.utterances][2] + 24 * DEALT[diet.utterances][3]
        assert {len(s.validation) for s in sets} == {round(diet.labels * choosing)}
    whole, some = found[DIETS[1]], found[DIETS[2]]
    assert [s.train for s in whole] == [s.train for s in some]
    assert fed({"train": {"lr": 1.0}}, DIETS[2]) == {"train": {"lr": 1.0, "labels": 0.15, "holes": 0.0}}


def test_the_parts_are_those_of_probabilities_worked_by_hand():
    """Two sets, two seeds, one utterance of class 0 of two: p of it is 0.9, 0.7 on the first set and 0.5, 0.5."""
    (frame,) = simulated(folds=1, seeds=(0,))
    one = frame[frame["condition"] == "svt"].head(1)
    names = [f"p_{c}" for c in EMOTIONS.classes]

    def answer(fold, seed, p):
        rest = (1 - p) / (len(names) - 1)
        return one.assign(
            fold=fold, seed=seed, label=EMOTIONS.classes[0], **dict.fromkeys(names, rest)
        ).assign(**{names[0]: p})

    answers = [answer(0, 0, 0.9), answer(0, 1, 0.7), answer(1, 0, 0.5), answer(1, 1, 0.5)]
    k = 1 + 1 / (len(names) - 1)  # |(1 - p, -(1 - p) / (K - 1), ...)|^2 = k (1 - p)^2
    found = parted(answers, EMOTIONS).iloc[0]
    assert found["loss"] == pytest.approx(k * np.mean([0.1**2, 0.3**2, 0.5**2, 0.5**2]))
    assert found["bias"] == pytest.approx(k * np.mean([0.1 * 0.5, 0.3 * 0.5]))
    assert found["variance"] == pytest.approx(k * np.mean([0.4**2, 0.2**2]) / 2)
    assert found["seed"] == pytest.approx(k * np.mean([0.2**2, 0]) / 2)
    assert found["loss"] == pytest.approx(found["bias"] + found["variance"])
    wrong = parted([*answers[:3], answer(1, 1, 0.1)], EMOTIONS, decided=True).iloc[
        0
    ]  # the last is another class
    assert [wrong[key] for key in ("loss", "bias", "variance", "seed")] == pytest.approx(
        [0.25, 0, 0.25, 0.25]
    )


def test_a_method_that_answers_alike_on_every_set_has_no_variance():
    noisy = simulated(strength=1.0, folds=1, seeds=(0, 1))
    frames = [noisy[0], noisy[1].assign(fold=5, seed=0)]
    same = [noisy[0], noisy[0].assign(fold=5)]
    found = measured({"linear": frames, "gaussian": same}, {"linear": 1.0, "gaussian": 2.0}, EMOTIONS)
    assert found["gaussian"]["probabilities"]["avg6"]["variance"] == 0
    assert found["gaussian"]["UAR of the average"]["avg6"] == pytest.approx(
        found["gaussian"]["UAR"]["avg6"][0]
    )
    parts = found["linear"]["probabilities"]["avg6"]
    assert parts["loss"] == pytest.approx(parts["bias"] + parts["variance"], abs=2e-5)
    assert parts["variance"] > 0
    assert parts["seed"] is None
    cell = found["gaussian"]["minus"]["probabilities"]["variance"]["avg6"]
    assert cell["difference"] == pytest.approx(-parts["variance"], abs=2e-5)
    assert cell["lo"] <= cell["difference"] <= cell["hi"]


def test_speakers_alone_are_resampled_however_many_seeds_there_are():
    """Two seeds on each of two sets have the interval of the same two answers, one a set."""
    first, second = simulated(strength=0.5, folds=1, seeds=(0, 1))
    linear = simulated(folds=1, seeds=(0,))[0]
    linears = [linear, linear.assign(fold=5)]
    twice = [first, second, first.assign(fold=5), second.assign(fold=5)]
    once = [first, second.assign(seed=0, fold=5)]
    costs = {"linear": 1.0, "masked": 1.0}
    two, one = (
        measured({"linear": linears, "masked": own}, costs, EMOTIONS)["masked"]["minus"]["UAR"]
        for own in (twice, once)
    )
    assert two == one
    assert one["avg6"]["lo"] < one["avg6"]["hi"]
