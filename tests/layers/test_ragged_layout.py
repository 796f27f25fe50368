"""Ragged frames to padded ones and back."""

import torch

from cmarr.layers.ragged import Layout

LENGTHS = torch.tensor([2, 0, 3])
FRAMES = torch.arange(1.0, 6.0)[:, None]  # 1 2 | | 3 4 5


def test_frames_stand_at_the_start_of_their_row():
    layout = Layout(LENGTHS, 5)
    assert layout.pad(FRAMES)[..., 0].tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5]]
    assert layout.mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]


def test_unpad_undoes_pad():
    layout = Layout(LENGTHS, 5)
    assert torch.equal(layout.unpad(layout.pad(FRAMES)), FRAMES)


def test_gradients_reach_every_frame_and_nothing_else():
    frames = FRAMES.clone().requires_grad_()
    layout = Layout(LENGTHS, 5)
    (layout.pad(frames) * torch.arange(9.0).view(3, 3, 1)).sum().backward()
    assert frames.grad[:, 0].tolist() == [0, 1, 6, 7, 8]


def test_nothing_at_all_keeps_one_empty_step():
    layout = Layout(torch.tensor([0, 0]), 0)
    assert layout.pad(torch.zeros(0, 4)).shape == (2, 1, 4)


def test_without_padding_both_forms_are_the_same_numbers():
    layout = Layout(torch.tensor([2, 2]), 4)
    padded = layout.pad(FRAMES[:4])
    assert padded[..., 0].tolist() == [[1, 2], [3, 4]]
    assert torch.equal(layout.unpad(padded), FRAMES[:4])
