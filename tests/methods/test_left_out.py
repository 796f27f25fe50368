"""Speakers are left out in turn, whole, and what does best on them is chosen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cmarr.methods.left_out import PARTS, STRENGTHS, chosen_strength, parts_of
from cmarr.methods.pooled import fit_linear_model
from cmarr.task import Task

TASK = Task(("a", "b"))


def test_a_speaker_is_left_out_whole_and_parts_are_even(small):
    speakers = torch.tensor([7] * 10 + [2] * 8 + [5] * 4 + [4] * 3 + [9] * 3 + [1] * 2)
    parts = parts_of(replace(small.batch(30), speakers=speakers))
    for speaker in speakers.unique():
        assert len(parts[speakers == speaker].unique()) == 1
    assert sorted(torch.bincount(parts).tolist()) == [6, 6, 8, 10]


@pytest.mark.parametrize("speakers", [None, torch.zeros(30, dtype=torch.long)])
def test_without_several_speakers_utterances_are_left_out(small, speakers):
    parts = parts_of(replace(small.batch(30), speakers=speakers))
    assert sorted(torch.bincount(parts).tolist()) == [7, 7, 8, 8]
    assert PARTS == 4


def data(signal: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 80)
    return generator.normal(size=(80, 20)) + signal * labels[:, None], labels, np.arange(80) % 4


def loss(inputs, labels, parts, strength: float) -> float:
    """By hand: minus the mean log-likelihood of what was left out."""
    total = 0.0
    for part in range(4):
        out = parts == part
        weight, bias = fit_linear_model(inputs[~out], labels[~out], TASK, strength)
        logits = torch.from_numpy(inputs[out]) @ weight.T + bias
        total += float(
            -logits.log_softmax(1)[torch.arange(int(out.sum())), torch.from_numpy(labels[out])].sum()
        )
    return total / len(labels)


def test_it_is_the_strength_that_loses_least(small):
    inputs, labels, parts = data(0.3)
    every = {strength: loss(inputs, labels, parts, strength) for strength in STRENGTHS}
    assert chosen_strength(inputs, labels, parts, TASK) == min(every, key=lambda s: every[s])


def test_noise_gets_the_strongest_penalty_and_signal_a_weak_one():
    assert chosen_strength(*data(0.0), TASK) <= 1e-3 < 1e-2 <= chosen_strength(*data(3.0), TASK)


def test_what_a_speaker_alone_gives_away_is_not_rewarded():
    """Each speaker holds one class and has a voice of its own: a weak penalty learns the voice, and gains nothing."""
    generator = np.random.default_rng(0)
    speaker = np.repeat(np.arange(8), 10)
    inputs = np.repeat(generator.normal(size=(8, 30)), 10, 0) + 0.1 * generator.normal(size=(80, 30))
    labels = speaker % 2
    by_speaker = chosen_strength(inputs, labels, speaker % 4, TASK)
    by_utterance = chosen_strength(inputs, labels, np.arange(80) % 4, TASK)
    assert by_speaker < by_utterance


def test_scores_are_chosen_for_by_squared_error():
    inputs, _, parts = data(0.0)
    target = inputs @ np.ones(20) + 0.01 * np.random.default_rng(1).normal(size=80)
    assert chosen_strength(inputs, target, parts, Task()) == STRENGTHS[-1]
    assert chosen_strength(inputs, np.zeros(80), np.zeros(80), Task()) == 0.1  # nothing can be left out
