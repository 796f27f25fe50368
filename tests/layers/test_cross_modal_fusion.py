"""Fusion: who asks whom (Eq 10-13), and the switches."""

import pytest
import torch

from cmarr.layers.attention import AttentionBlock, attend
from cmarr.layers.fusion import Fusion

ALL = ("s", "v", "t")
NONE_RECOVERED = torch.zeros(2, 3, dtype=torch.bool)


def fusion(modalities=ALL, **settings) -> Fusion:
    torch.manual_seed(0)
    return Fusion(modalities, 8, 2, 0.0, 3, **settings)


def inputs(modalities=ALL) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {m: torch.randn(2, 5, 8, generator=generator) for m in modalities}


def test_attention_by_hand():
    # One head of one channel: scores q k = 0 and log 3, so the weights are 1/4 and 3/4.
    query = torch.ones(1, 1, 1)
    key = torch.tensor([0.0, torch.log(torch.tensor(3.0))]).view(1, 2, 1)
    value = torch.tensor([4.0, 8.0]).view(1, 2, 1)
    assert attend(query, key, value, 1).item() == pytest.approx(7.0)
    assert attend(query, key, value, 1, torch.tensor([[True, False]])).item() == 4.0


def test_blocks_of_the_text_and_of_the_equations():
    assert fusion().crossings == [("t", "v"), ("t", "s"), ("s", "v")]
    assert fusion(blocks="two_blocks").crossings == [("t", "v"), ("t", "s")]


def test_two_blocks_compute_eq_10_to_13():
    net, x = fusion(blocks="two_blocks"), inputs()
    h = torch.cat([net.cross[0](x["t"], x["v"]), net.cross[1](x["t"], x["s"])], dim=-1)
    h = net.self_attention(net.join(h))
    torch.testing.assert_close(net(x, NONE_RECOVERED), net.classify(net.norm(h.mean(1))))


def test_pooled_has_no_attention():
    net, x = fusion(blocks="pooled"), inputs()
    assert not any(isinstance(m, AttentionBlock) for m in net.modules())
    pooled = torch.cat([x[m].mean(1) for m in "tsv"], dim=-1)
    torch.testing.assert_close(net(x, NONE_RECOVERED), net.classify(net.mlp(pooled)))


@pytest.mark.parametrize(
    ("modalities", "crossings"),
    [(("s", "t"), [("t", "s")]), (("v", "t"), [("t", "v")]), (("s", "v"), [("s", "v")]), (("s",), [])],
)
@pytest.mark.parametrize("blocks", ["three_blocks", "two_blocks", "pooled"])
def test_corpora_that_lack_a_modality(modalities, crossings, blocks):
    net = fusion(modalities, blocks=blocks)
    assert net.crossings == crossings
    logits = net(inputs(modalities), torch.zeros(2, len(modalities), dtype=torch.bool))
    assert logits.shape == (2, 3)


class TestRecoveredQuery:
    def test_with_nothing_recovered_text_asks(self):
        x = inputs()
        torch.testing.assert_close(fusion(query="recovered")(x, NONE_RECOVERED), fusion()(x, NONE_RECOVERED))

    def test_recovered_text_asks_as_ever(self):
        x = inputs()
        recovered = torch.tensor([[False, False, True], [True, True, True]])
        torch.testing.assert_close(fusion(query="recovered")(x, recovered), fusion()(x, recovered))

    @pytest.mark.parametrize(("column", "asking"), [(0, "s"), (1, "v")])
    def test_the_recovered_modality_changes_places_with_text(self, column, asking):
        x = inputs()
        recovered = NONE_RECOVERED.clone()
        recovered[1, column] = True
        exchanged = {**x, "t": x[asking], asking: x["t"]}
        answer = fusion(query="recovered")(x, recovered)
        torch.testing.assert_close(answer[0], fusion()(x, NONE_RECOVERED)[0])
        torch.testing.assert_close(answer[1], fusion()(exchanged, NONE_RECOVERED)[1])


def test_a_gradient_reaches_every_parameter():
    net = fusion()
    net(inputs(), NONE_RECOVERED).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())
