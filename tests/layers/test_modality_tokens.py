"""MCUR's backbone: a token a modality, blind to padding and to what may not be seen."""

import pytest
import torch

from cmarr.data.batch import Batch
from cmarr.layers.ragged import Layout
from cmarr.methods.mcur import PerceiverResampler, TokenBackbone, TokenEncoder

DIMS = {"s": 3, "v": 4, "t": 5}


def backbone(**settings) -> TokenBackbone:
    torch.manual_seed(0)
    sizes = {"latents": 2, "resampler_layers": 2, "depth": 1, "heads": 2, "dropout": 0.0}
    return TokenBackbone(DIMS, 8, **(sizes | settings)).eval()


def features(lengths: dict[str, list[int]]):
    generator = torch.Generator().manual_seed(1)
    values = {m: torch.randn(sum(n), DIMS[m], generator=generator) for m, n in lengths.items()}
    return values, {m: torch.tensor(n) for m, n in lengths.items()}


def whole(values, lengths) -> Batch:
    """A batch in which every modality is there."""
    rows = len(lengths["s"])
    return Batch(values, lengths, torch.ones(rows, 3, dtype=torch.bool), torch.zeros(rows))


def test_a_resampler_gives_as_many_vectors_as_it_has_queries():
    resampler = PerceiverResampler(8, 3, 2, 2, 0.0)
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    read = resampler(torch.randn(3, 3, 8), mask)
    assert read.shape == (3, 3, 8)
    assert read.isfinite().all()


def test_a_resampler_does_not_read_padding():
    resampler = PerceiverResampler(8, 3, 2, 2, 0.0).eval()
    x, mask = torch.randn(2, 4, 8), torch.tensor([[True] * 3 + [False], [True] * 2 + [False] * 2])
    noisy = torch.where(mask[..., None], x, 100.0)
    assert torch.equal(resampler(x, mask), resampler(noisy, mask))
    torch.testing.assert_close(resampler(x, mask)[1:], resampler(x[1:, :2], mask[1:, :2]))


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_token_does_not_depend_on_its_company(kernel):
    torch.manual_seed(0)
    encoder = TokenEncoder(3, 8, kernel, 2, 1, 2, 0.0).eval()
    frames = torch.randn(9, 3)
    together = encoder(frames, torch.tensor([2, 0, 7]))
    torch.testing.assert_close(together[:1], encoder(frames[:2], torch.tensor([2])))
    torch.testing.assert_close(together[2:], encoder(frames[2:], torch.tensor([7])))
    assert together[1].isfinite().all()


def test_text_alone_sees_its_neighbours():
    kernels = {m: e.convolution.kernel_size for m, e in backbone().encoders.items()}
    assert kernels == {"s": (1,), "v": (1,), "t": (3,)}
    assert all(e.convolution.bias is None for e in backbone().encoders.values())


@pytest.mark.parametrize("missing", ["zeros", "learned"])
def test_what_may_not_be_used_does_not_matter(missing):
    network = backbone(missing=missing)
    values, lengths = features({"s": [2, 3], "v": [1, 4], "t": [3, 1]})
    usable = torch.tensor([[[True, False, True]] * 2, [[False, False, True]] * 2])
    h = network.fuse(network.encode(whole(values, lengths)), usable)
    assert h.shape == (2, 2, 8)
    loud = values | {"v": 50 * torch.randn(5, 4)}
    assert torch.equal(h, network.fuse(network.encode(whole(loud, lengths)), usable))
    assert not torch.allclose(h[0], h[1])


def test_a_missing_modality_is_a_frame_of_zeros():
    network = backbone()
    values, lengths = features({"s": [2], "v": [1], "t": [3]})
    hidden = network.fuse(network.encode(whole(values, lengths)), torch.tensor([[[True, False, True]]]))
    zeros = values | {"v": torch.zeros(1, 4)}
    shown = network.fuse(network.encode(whole(zeros, lengths)), torch.ones(1, 1, 3, dtype=torch.bool))
    torch.testing.assert_close(hidden, shown)


def test_a_learned_token_learns():
    network = backbone(missing="learned")
    values, lengths = features({"s": [2], "v": [1], "t": [3]})
    network.fuse(
        network.encode(whole(values, lengths)), torch.tensor([[[True, False, True]]])
    ).sum().backward()
    assert network.blank.grad[1].abs().sum() > 0
    assert not network.blank.grad[[0, 2]].any()


def test_the_sum_over_offsets_is_the_convolution():
    torch.manual_seed(0)
    encoder = TokenEncoder(4, 8, 3, latents=2, layers=1, heads=2, dropout=0.0)
    lengths = torch.tensor([3, 1, 5])
    frames = torch.randn(9, 4)
    read = []
    encoder.resampler.forward = lambda x, mask: read.append((x, mask)) or x
    encoder(frames, lengths)
    (x, mask), layout = read[0], Layout(lengths, 9)
    expected = encoder.convolution(layout.pad(frames).transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(x[mask], expected[mask])
