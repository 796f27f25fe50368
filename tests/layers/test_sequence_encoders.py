"""The encoders of the MMIN family: blind to padding, the same for everything that is missing."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cmarr.data.batch import Batch, hide, side_by_side
from cmarr.methods._mmin import LSTMEncoder, TextCNN, UtteranceEncoders

LENGTHS = torch.tensor([7, 1, 4])


def frames(dim: int = 5) -> torch.Tensor:
    return torch.randn(int(LENGTHS.sum()), dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["lstm", "cnn"])
def test_company_and_padding_change_nothing(kind):
    torch.manual_seed(0)
    encoder = (LSTMEncoder(5, 6) if kind == "lstm" else TextCNN(5, 6, 0.5)).eval()
    together = encoder(frames(), LENGTHS)
    for row, own in enumerate(frames().split(LENGTHS.tolist())):
        alone = encoder(own, torch.tensor([len(own)]))
        torch.testing.assert_close(together[[row]], alone)


def test_the_lstm_s_largest_state_over_time():
    torch.manual_seed(0)
    encoder = LSTMEncoder(5, 6)
    own = frames()[:7]
    states, _ = encoder.lstm(own[None])
    torch.testing.assert_close(encoder(own, torch.tensor([7])), states.amax(1))


def test_the_text_cnn_is_convolutions_and_maxima():
    """Against PyTorch's own convolution, on a sequence long enough for every window."""
    torch.manual_seed(0)
    encoder = TextCNN(5, 6, 0.5).eval()
    own = frames()[:7]
    peaks = [F.relu(c(own.T[None])).amax(-1) for c in encoder.convolutions]  # (1, 6) each
    expected = F.relu(encoder.join(torch.cat(peaks, dim=-1)))
    torch.testing.assert_close(encoder(own, torch.tensor([7])), expected)


def test_a_single_word_fills_the_first_place_of_a_window():
    torch.manual_seed(0)
    encoder = TextCNN(5, 6, 0.0)
    word = frames()[:1]
    padded = [F.pad(word, (0, 0, 0, k - 1)) for k in (3, 4, 5)]
    pairs = zip(encoder.convolutions, padded, strict=True)
    peaks = [F.relu(c(x.T[None])).amax(-1) for c, x in pairs]
    expected = F.relu(encoder.join(torch.cat(peaks, dim=-1)))
    torch.testing.assert_close(encoder(word, torch.tensor([1])), expected)


def ragged() -> Batch:
    there = torch.tensor([[True, False, True]] * 3)
    return Batch({"s": frames(), "t": frames(4)}, {"s": LENGTHS, "t": LENGTHS}, there, torch.zeros(3))


def encoders(**options) -> UtteranceEncoders:
    torch.manual_seed(0)
    return UtteranceEncoders({"s": 5, "t": 4}, 6, 0.0, **options)


def test_what_is_missing_is_a_frame_of_zeros():
    own, batch = encoders(), ragged()
    rows = torch.tensor([[True, False], [False, True], [False, False]])
    h = own(batch, rows)  # (3, 2, 6)
    assert h.shape == (3, 2, 6)
    one = torch.ones(1, dtype=torch.long)
    speechless, textless = own["s"](torch.zeros(1, 5), one)[0], own["t"](torch.zeros(1, 4), one)[0]
    assert torch.equal(h[1, 0], speechless)
    assert torch.equal(h[2, 0], speechless)
    assert torch.equal(h[0, 1], textless)
    torch.testing.assert_close(h[0, 0], own["s"](batch.values["s"][:7], LENGTHS[:1])[0])
    seen = torch.tensor([[True, False, False], [False, False, True], [False] * 3])
    torch.testing.assert_close(own(hide(batch, seen)), h)


def test_several_patterns_are_one_encoding():
    own, batch = encoders(), ragged()
    calls: list[int] = []
    own["s"].register_forward_hook(lambda module, given, out: calls.append(len(given[0])))
    patterns = [torch.tensor([seen] * 3) for seen in ([True] * 3, [True, False, False], [False, False, True])]
    together = own(side_by_side(batch, patterns)).view(3, 3, 2, 6)  # (P, B, M, d)
    assert calls.count(int(LENGTHS.sum())) == 1  # all frames once; single ones are frames of zeros
    assert set(calls) == {int(LENGTHS.sum()), 1}
    for p in range(3):
        torch.testing.assert_close(together[p], own(hide(batch, patterns[p])))


def test_text_may_have_an_lstm_of_its_own():
    assert isinstance(encoders()["t"], TextCNN)
    assert isinstance(encoders(text="lstm")["t"], LSTMEncoder)


def test_sizes_of_the_authors():
    """MMIN's encoders for ComParE, Denseface and BERT features hold 1,997,312 parameters."""
    own: nn.Module = UtteranceEncoders({"s": 130, "v": 342, "t": 1024}, 128, 0.5)
    assert sum(p.numel() for p in own.parameters()) == 133_120 + 241_664 + 1_622_528
