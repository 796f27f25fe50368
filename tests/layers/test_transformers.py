"""MulT's transformers."""

import pytest
import torch

from cmarr.methods.dicmor import Dropouts, MultimodalTransformer, Transformer, positions

NONE = Dropouts.one(0.0)


def test_positions_by_hand():
    table = positions(2, 4)
    one, slow = torch.tensor(1.0), torch.tensor(1e-4)
    assert torch.equal(table[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(table[1], torch.stack([one.sin(), slow.sin(), one.cos(), slow.cos()]))


@pytest.mark.parametrize("length", [1, 7])
def test_the_last_step_alone_is_the_last_of_all(length):
    torch.manual_seed(0)
    transformer = Transformer(8, 3, 2, NONE, 0.0)
    x = torch.randn(4, length, 8)
    torch.testing.assert_close(transformer.last_step(x), transformer(x)[:, -1])


def test_it_knows_the_order_of_what_it_reads():
    torch.manual_seed(0)
    transformer, x, y = Transformer(8, 1, 2, NONE, 0.0), torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    assert not torch.allclose(transformer(x, y), transformer(x, y.flip(1)))


@pytest.mark.parametrize(("modalities", "crossings", "width"), [("svt", 6, 48), ("st", 2, 16), ("t", 0, 8)])
def test_every_modality_reads_every_other_one(modalities, crossings, width):
    torch.manual_seed(0)
    fusion = MultimodalTransformer(tuple(modalities), 8, 1, 2, NONE, 3)
    assert len(fusion.crossings) == crossings
    assert fusion.classify.in_features == width
    x = {m: torch.randn(4, 5, 8, requires_grad=True) for m in modalities}
    fusion(x).sum().backward()
    assert all(own.grad.abs().sum() > 0 for own in x.values())
    assert all(p.grad is not None for p in fusion.parameters())


def test_memories_are_never_shallower_than_three_layers():
    fusion = MultimodalTransformer(("s", "v", "t"), 8, 2, 2, NONE, 3)
    assert len(fusion.crossings["sv"].layers) == 2
    assert len(fusion.memories["s"].layers) == 3
