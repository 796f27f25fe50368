"""Mean and deviation over time of ragged sequences."""

import torch

from cmarr.data.batch import Batch
from cmarr.layers.pooling import StatisticsPooling, pooling_of
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


def pooled_batch() -> Batch:
    lengths = torch.tensor([2, 0, 1])
    available = torch.tensor([[True] * 3, [False] * 3, [True] * 3])
    return Batch({"s": FRAMES}, {"s": lengths}, available, torch.zeros(3))


def test_statistics_take_the_place_of_the_sequence():
    pooling = StatisticsPooling({"s": 2})
    seen = pooling(pooled_batch())
    assert seen.values["s"].tolist() == [[2.0, 0.0, 1.0, 0.0], [5.0, 6.0, 0.0, 0.0]]
    assert seen.lengths["s"].tolist() == [1, 0, 1]


def test_they_are_standardised_by_the_training_split_and_constants_are_left_alone():
    pooling = StatisticsPooling({"s": 2})
    pooling.fit(pooled_batch())
    assert pooling(pooled_batch()).values["s"].tolist() == [[-1.0, -1.0, 1.0, 0.0], [1.0, 1.0, -1.0, 0.0]]


def test_a_number_of_steps_pools_nothing():
    pooling, dims, length = pooling_of({"s": 2}, 16)
    assert (dims, length) == ({"s": 2}, 16)
    assert pooling(batch := pooled_batch()) is batch
    assert pooling_of({"s": 2}, "statistics")[1:] == ({"s": 4}, 1)
