"""Resampling to a common length: by hand, and blind to padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmarr.layers.ragged import mean_weights, resampling_weights


def resampled(sequence: list[float], length: int, longest: int | None = None) -> list[float]:
    longest = longest or len(sequence)
    weights = resampling_weights(torch.tensor([len(sequence)]), longest, length)
    padded = torch.full((1, longest, 1), 1e6)
    padded[0, : len(sequence), 0] = torch.tensor(sequence)
    return (weights @ padded)[0, :, 0].tolist()


def test_the_same_length_changes_nothing():
    assert resampled([3.0, -1.0, 4.0], 3) == [3.0, -1.0, 4.0]


def test_growing_interpolates():
    # 2 frames to 4 steps: steps at (l + 1/2) / 2 - 1/2 = -1/4, 1/4, 3/4, 5/4
    assert resampled([0.0, 4.0], 4) == pytest.approx([0.0, 1.0, 3.0, 4.0])


def test_shrinking_averages():
    # 4 frames to 2 steps: step 0 at 1/2, reach 2; weights of frames 0..3: 3/4, 3/4, 1/4, 0, sum 7/4
    first = (3 * 1.0 + 3 * 2.0 + 1 * 3.0) / 7
    assert resampled([1.0, 2.0, 3.0, 4.0], 2) == pytest.approx([first, 5 - first])


def test_one_frame_is_repeated():
    assert resampled([7.0], 3) == [7.0, 7.0, 7.0]


def test_one_step_sees_every_frame():
    assert resampled([0.0, 3.0, 0.0], 1) == pytest.approx([3 * 1 / (1 + 2 / 3 + 2 / 3)])


def test_no_frames_give_zeros():
    assert not resampling_weights(torch.tensor([0]), 3, 4).any()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 9))
def test_weights_sum_to_one_and_padding_weighs_nothing(frames, length, padding):
    weights = resampling_weights(torch.tensor([frames]), frames + padding, length)[0]
    torch.testing.assert_close(weights.sum(1), torch.ones(length))
    assert not weights[:, frames:].any()
    assert (weights >= 0).all()
    torch.testing.assert_close(
        weights[:, :frames], resampling_weights(torch.tensor([frames]), frames, length)[0]
    )


def test_mean_over_real_frames():
    mask = torch.tensor([[True, True, False], [False] * 3])
    assert mean_weights(mask).tolist() == [[[0.5, 0.5, 0.0]], [[0.0] * 3]]
