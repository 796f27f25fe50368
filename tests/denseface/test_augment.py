"""Augmentation by what it does to faces whose result can be told in advance."""

import pytest
import torch

from denseface.augment import Augmentation, plain

NOTHING = Augmentation.model_validate(dict.fromkeys(Augmentation.model_fields, 0.0))
EVERYTHING = Augmentation(
    shift=0.1, zoom=0.1, rotation=15.0, flip=0.5, contrast=0.4, light=0.1, erase=0.3, erase_area=0.2
)


def replace(augmentation, **changed):
    return augmentation.model_copy(update=changed)


def pictures(count: int = 6) -> torch.Tensor:
    """Smooth pictures (B, 48, 48), each different, none symmetrical."""
    down, across = torch.meshgrid(torch.linspace(0, 3, 48), torch.linspace(0, 2, 48), indexing="ij")
    waves = [(0.5 + 0.4 * torch.sin(down * (1 + n / 4) + across + n)) * 255 for n in range(count)]
    return torch.stack(waves).to(torch.uint8)


def drawn(augmentation: Augmentation, faces: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augmentation(faces, torch.Generator().manual_seed(seed))


def enlarged(faces, side: int = 64):
    return NOTHING(faces, torch.Generator().manual_seed(0), side)


def test_changing_nothing_only_enlarges():
    step = 1 / 127.5  # faces as they are have whole grays
    torch.testing.assert_close(enlarged(pictures()), plain(pictures()), atol=0.51 * step, rtol=0)


def test_plain_faces_run_from_black_to_white_at_the_size_of_the_network():
    ends = plain(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1).expand(2, 48, 48))
    assert ends.shape == (2, 1, 64, 64)
    torch.testing.assert_close(ends[:, 0, 10, 10], torch.tensor([-1.0, 1.0]))


def test_a_flip_mirrors():
    flipped = drawn(replace(NOTHING, flip=1.0), pictures())
    torch.testing.assert_close(flipped.flip(3), enlarged(pictures()), atol=1e-5, rtol=0)


def test_a_shift_moves_the_face_and_repeats_its_edge():
    faces = torch.zeros(64, 48, 48, dtype=torch.uint8)
    faces[:, 22:26, 22:26] = 255
    moved = drawn(replace(NOTHING, shift=0.25), faces) > 0
    where = torch.stack([(face[0].nonzero().float().mean(0) - 31.5) / 64 for face in moved])
    assert where.abs().max() <= 0.25 + 1e-2
    assert where.std(0).min() > 0.1  # in both directions, by different amounts
    edge = drawn(replace(NOTHING, shift=0.25), torch.full((8, 48, 48), 200, dtype=torch.uint8))
    torch.testing.assert_close(edge, torch.full_like(edge, 200 / 127.5 - 1))


def test_a_turn_stays_within_its_range():
    faces = torch.zeros(64, 48, 48, dtype=torch.uint8)
    faces[:, 23:25, 4:44] = 255  # a line through the middle
    turned = drawn(replace(NOTHING, rotation=15.0), faces)[:, 0] > 0
    degrees = []
    for face in turned:
        down, across = face.nonzero().float().T
        slope = ((down - 31.5) * (across - 31.5)).sum() / ((across - 31.5) ** 2).sum()
        degrees.append(torch.rad2deg(slope.atan()))
    assert torch.stack(degrees).abs().max() < 16
    assert torch.stack(degrees).min() < -8 and torch.stack(degrees).max() > 8


def test_contrast_and_light_keep_what_is_darker_darker():
    lit = drawn(replace(NOTHING, contrast=0.5, light=0.1), pictures())
    for before, after in zip(enlarged(pictures()).flatten(1), lit.flatten(1), strict=True):
        order = before.argsort()
        assert (after[order].diff() >= -1e-5).all()
    assert lit.min() >= -1 and lit.max() <= 1
    assert not torch.allclose(lit, enlarged(pictures()), atol=1e-2)


def test_erasing_covers_a_rectangle_of_one_gray_no_larger_than_allowed():
    faces = pictures(64)
    covered = drawn(replace(NOTHING, erase=1.0, erase_area=0.2), faces)
    changed = (covered - enlarged(faces)).abs() > 1e-4
    assert changed.any((1, 2, 3)).float().mean() > 0.9
    for hidden, face in zip(changed[:, 0], covered[:, 0], strict=True):
        assert hidden.float().mean() <= 0.2 + 0.03  # whole pixels
        if hidden.sum() > 4:
            assert len(face[hidden].unique()) == 1
    none = drawn(replace(NOTHING, erase=0.0, erase_area=0.2), faces)
    torch.testing.assert_close(none, enlarged(faces), atol=1e-5, rtol=0)


def test_the_generator_decides_everything():
    torch.testing.assert_close(
        drawn(EVERYTHING, pictures(), 1), drawn(EVERYTHING, pictures(), 1), atol=0, rtol=0
    )
    assert not torch.equal(drawn(EVERYTHING, pictures(), 1), drawn(EVERYTHING, pictures(), 2))


@pytest.mark.parametrize("count", [1, 5])
def test_shapes(count):
    changed = drawn(EVERYTHING, pictures(count))
    assert changed.shape == (count, 1, 64, 64) and changed.dtype == torch.float32
    generator = torch.Generator().manual_seed(0)
    assert EVERYTHING(pictures(count), generator, 32).shape == enlarged(pictures(count), 32).shape
