"""Mean and deviation over time of ragged sequences."""

import torch

from cmarr.layers.ragged import mean_and_deviation, mean_over_time

FRAMES = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]])
LENGTHS = torch.tensor([2, 0, 1])


def test_means_by_hand():
    assert mean_over_time(FRAMES, LENGTHS).tolist() == [[2.0, 0.0], [0.0, 0.0], [5.0, 6.0]]


def test_deviations_by_hand():
    pooled = mean_and_deviation(FRAMES, LENGTHS)
    assert pooled.tolist() == [[2.0, 0.0, 1.0, 0.0], [0.0] * 4, [5.0, 6.0, 0.0, 0.0]]


def test_no_frames_at_all():
    assert mean_and_deviation(FRAMES[:0], torch.tensor([0, 0])).tolist() == [[0.0] * 4] * 2
