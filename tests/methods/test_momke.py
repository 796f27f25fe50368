"""MoMKE: sizes, what each expert learns from, and how their answers are mixed."""

import torch

from cmarr.data.batch import hide, visibility
from cmarr.methods.asking import predictions, training_losses
from cmarr.methods.registry import build_method
from cmarr.task import Task

FOUR = Task(("angry", "happy", "neutral", "sad"))


def test_parameters_at_the_authors_sizes():
    """Counted from the layers' description, with biases throughout; the paper prints no number."""
    method = build_method("momke", {"s": 512, "t": 1024, "v": 1024}, FOUR, {"d": 256, "depth": 4, "heads": 2})
    d, layers = 256, 4
    projections = 512 * d + 2 * 1024 * d + 3 * d
    expert = layers * (3 * d * d + 3 * d + 2 * (d * d + d))
    router = d * d + d + 3 * d + 3
    join = (3 * d) ** 2 + 3 * d + 4 * 3 * d + 4
    assert (
        sum(p.numel() for p in method.parameters()) == projections + 3 * (expert + router + 4 * d + 4) + join
    )
    assert sum(p.numel() for p in method.parameters()) == 5_400_089


def gradients(loss: torch.Tensor, method: torch.nn.Module) -> set[str]:
    method.zero_grad()
    loss.backward(retain_graph=True)
    return {
        ".".join(n.split(".")[:2])
        for n, p in method.named_parameters()
        if p.grad is not None and p.grad.any()
    }


def test_an_expert_learns_from_its_own_modality_by_itself(small):
    method, batch = small.method("momke"), small.batch(absent=0.0)
    losses = training_losses(method, batch, visibility("svt", 10))
    assert list(losses) == ["cls", "expert_s", "expert_v", "expert_t"]
    assert gradients(losses["expert_s"], method) == {"projections.s", "experts.s", "heads.s"}
    assert {f"experts.{m}" for m in "svt"} <= gradients(losses["cls"], method)


def test_its_settings_say_whether_it_reads_dialogues(small):
    for sequence in ("frames", "dialogue"):
        method = small.method("momke", sequence=sequence)
        reads = type(method).reads_dialogues(type(method).Settings(sequence=sequence))
        assert method.in_dialogues == reads == (sequence == "dialogue")


def test_the_experts_come_first_and_their_stage_chooses_nothing(small):
    first, second = small.method("momke").stages()
    assert first.losses == ("expert_s", "expert_v", "expert_t")
    assert not first.selects
    assert second.losses == ("cls",)
    assert first.share + second.share == 1


def test_a_mixture_is_the_routers_mean_of_all_experts(small):
    method, batch = small.method("momke").eval(), small.batch(absent=0.0)
    x = method.projections["s"](batch.values["s"], batch.lengths["s"])  # (B, L, d)
    shares = method.routers["s"](x)
    expected = sum(shares[..., [i]] * method.experts[m](x) for i, m in enumerate("svt"))
    torch.testing.assert_close(method._mixtures(batch)[0]["s"], expected)
    hidden = method.fused(hide(batch, visibility("vt", 10)))
    mixed = {**method._mixtures(batch)[0], "s": torch.zeros_like(expected)}
    torch.testing.assert_close(method._joined(mixed), hidden)
    assert not torch.equal(
        predictions(method, batch, {"vt": visibility("vt", 10)})["vt"].logits, method.predict(batch).logits
    )
