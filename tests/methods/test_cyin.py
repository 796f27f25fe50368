"""CyIN: the bottleneck by hand, translations there and back, and what stands for a missing modality."""

import pytest
import torch

from cmarr.data.batch import hide, visibility
from cmarr.losses.bottleneck import bottleneck_divergence, drawn
from cmarr.methods.asking import training_losses
from cmarr.methods.registry import build_method
from cmarr.task import Task

MOSI = {"hidden": 256, "bottleneck": 128, "blocks": 8, "d": 256, "depth": 2, "heads": 8}
MOSEI = {"hidden": 16, "bottleneck": 256, "blocks": 4, "d": 16, "depth": 8, "heads": 2}


@pytest.mark.parametrize(
    ("sizes", "dims", "count"),
    [
        (MOSI, {"t": 768, "s": 5, "v": 20}, 45_420_445),
        (MOSEI, {"t": 768, "s": 74, "v": 35}, 4_862_737),
    ],
)
def test_parameters_at_the_authors_sizes(sizes, dims, count):
    """The paper prints no number: this is what its sizes come to with these layers."""
    assert sum(p.numel() for p in build_method("cyin", dims, Task(), sizes).parameters()) == count


def test_divergence_of_a_wide_gaussian():
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    e2 = torch.tensor(2.0).exp()  # (1 + 0) / 2 and (e^2 - 1 - 2) / 2
    torch.testing.assert_close(bottleneck_divergence(mean, log_variance), ((1 + e2 - 3) / 4)[None])


def test_latents_are_drawn_in_training_alone():
    mean = torch.zeros(10_000)
    torch.manual_seed(0)
    assert drawn(mean, mean + 2.0, training=True).std().item() == pytest.approx(2.718, rel=0.05)
    assert torch.equal(drawn(mean, mean, training=False), mean)


def steps(method, batch):
    """The latents' means and their translations."""
    z = {m: method.bottlenecks[m](method._resampled(batch, m))[0] for m in "svt"}
    return z, method._translated(z)


def test_a_missing_modality_is_the_sum_of_its_translations(small):
    method, batch = small.method("cyin").eval(), small.batch(absent=0.0)
    z, translated = steps(method, batch)
    usable = torch.tensor([[True, True, False], [True, False, False]]).repeat(5, 1)
    found = method._inputs(z, translated, usable, draw=False)
    torch.testing.assert_close(found["s"], z["s"])
    torch.testing.assert_close(found["t"][::2], (translated["s", "t"] + translated["v", "t"])[::2])
    torch.testing.assert_close(found["t"][1::2], translated["s", "t"][1::2])


def test_one_translation_serves_a_pair_both_ways(small):
    method = small.method("cyin")
    assert set(method.translations) == {"sv", "st", "vt"}
    z = torch.randn(2, 4, 16)
    assert torch.equal(method._translate("t", "s", z), method.translations["st"](z))


def test_in_training_whatever_may_stand_for_a_modality_does(small):
    method, batch = small.method("cyin").eval(), small.batch(200, absent=0.0)
    z, translated = steps(method, batch)
    torch.manual_seed(0)
    usable = torch.ones(200, 3).bool()
    found = method._inputs(z, translated, usable, draw=True)["t"]
    single = [translated["s", "t"], translated["v", "t"]]
    shares = [
        (found == option).all(2).all(1).float().mean() for option in (z["t"], single[0] + single[1], *single)
    ]
    assert sum(shares) == 1
    assert min(shares) > 0.15


def test_before_translations_are_learnt_they_are_not_used(small):
    method, batch = small.method("cyin", first_share=0.5).eval(), small.batch(absent=0.0)
    visible = visibility("st", 10)
    method.begin_epoch(1, 4)
    assert training_losses(method, batch, visible)["translation"] == 0
    early, answer = method.state_dict(), method.predict(hide(batch, visible)).logits
    assert not method._inputs(*steps(method, batch), torch.zeros(10, 3).bool(), draw=False)["v"].any()
    method.begin_epoch(3, 4)
    assert training_losses(method, batch, visible)["translation"] > 0
    assert not torch.equal(method.predict(hide(batch, visible)).logits, answer)
    kept = small.method("cyin", first_share=0.5).eval()
    kept.load_state_dict({**early, "translating": torch.tensor(False)})  # as that epoch is saved
    assert torch.equal(kept.predict(hide(batch, visible)).logits, answer)


def test_translations_by_hand(small):
    """One utterance, speech alone usable: text and video from speech, and speech through either and through both."""
    method, batch = small.method("cyin", translation_weight=1.0).eval(), small.batch(1, absent=0.0)
    z, translated = steps(method, batch)

    def miss(x, m):
        return (x - z[m]).square().mean()

    back = {n: method._translate(n, "s", translated["s", n]) for n in "vt"}
    terms = [
        *(miss(translated["s", n], n) for n in "vt"),
        *(miss(x, "s") for x in (*back.values(), back["v"] + back["t"])),
    ]
    found = training_losses(method, batch, visibility("s", 1))["translation"]
    torch.testing.assert_close(found, sum(terms) * 2 / 18)


@pytest.mark.parametrize("detach", [True, False])
def test_what_is_hidden_is_moved_by_no_loss(small, detach):
    method, batch = small.method("cyin", detach=detach), small.batch(absent=0.0)
    sum(training_losses(method, batch, visibility("sv", 10)).values()).backward()
    assert not any(p.grad is not None and p.grad.any() for p in method.bottlenecks["t"].parameters())
    assert any(p.grad.any() for p in method.bottlenecks["s"].parameters())


def test_answers_draw_nothing(small):
    method, batch = small.method("cyin").eval(), hide(small.batch(), visibility("sv", 10))
    assert torch.equal(method.predict(batch).logits, method.predict(batch).logits)
