"""Statistics over time of ragged sequences."""

import numpy as np
import pytest
import torch

from cmarr.data.batch import Batch
from cmarr.data.statistics import PERCENTILES, mean_and_deviation, mean_change, mean_over_time, percentiles
from cmarr.layers.pooling import StatisticsPooling, pooling_of

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


def test_percentiles_are_numpy_s():
    lengths = torch.tensor([5, 0, 1, 7])
    frames = torch.randn(13, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = percentiles(frames, lengths).view(4, len(PERCENTILES), 3)
    for row, own in zip(found, frames.split(lengths.tolist()), strict=True):
        wanted = np.percentile(own.numpy(), PERCENTILES, axis=0) if len(own) else np.zeros((5, 3))
        assert row.numpy() == pytest.approx(wanted)


def test_steps_between_utterances_do_not_count():
    frames, lengths = torch.tensor([[0.0], [2.0], [100.0], [99.0], [99.0]]), torch.tensor([2, 0, 3])
    assert mean_change(frames, lengths).tolist() == [[2.0], [0.0], [0.5]]
