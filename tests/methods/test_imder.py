"""IMDer: the public code's size, what is sampled from what, and what it costs."""

import pytest
import torch

from cmarr.data.batch import hide, visibility
from cmarr.methods.asking import predictions, training_losses
from cmarr.methods.registry import build_method
from cmarr.task import Task

AUTHORS = {
    **{"d": 32, "length": 48, "depth": 4, "heads": 8, "blocks": 20},
    **{"channels": 32, "levels": 4, "score_heads": 8, "score_layers": 2},
}


def test_parameters_of_the_authors_within_one_percent():
    """Ours: 12,920,593; docs/rivals.md says where the difference lies."""
    with torch.device("meta"):
        method = build_method("imder", {"t": 768, "s": 5, "v": 20}, Task(), AUTHORS)
    count = sum(p.numel() for p in method.parameters())
    assert count == 12_920_593
    assert count == pytest.approx(13.0e6, rel=0.01)
    assert sum(p.numel() for p in method.reconstructions["t"].parameters()) == 522_224


def test_losses_and_their_weights(small):
    batch = small.batch()
    visible = small.masks(batch)

    def losses(**settings):
        torch.manual_seed(0)
        method = small.method("imder", **settings).eval()
        torch.manual_seed(1)
        return training_losses(method, batch, visible)

    usual = losses()
    assert list(usual) == ["cls", "score", "rec"]
    for key, value, term in (("score_weight", 0.002, "score"), ("recovery_weight", 0.2, "rec")):
        for name, loss in losses(**{key: value}).items():
            torch.testing.assert_close(loss, usual[name] * (2 if name == term else 1))


def test_what_each_loss_moves(small):
    method, batch = small.method("imder"), small.batch(24, absent=0.0)
    small.train(method, batch, small.masks(batch), 2)
    losses = training_losses(method, batch, small.masks(batch))

    def moved(name):
        method.zero_grad()
        losses[name].backward(retain_graph=True)
        return {n.split(".")[0] for n, p in method.named_parameters() if p.grad is not None and p.grad.any()}

    assert moved("score") == {"scores", "joins"}
    assert moved("rec") == {"reconstructions"}
    assert moved("cls") == {"reconstructions", "fusion"}


def test_the_convolutions_of_stage_one_stay_as_they_are(small):
    first, method, batch = small.first_stage("imder"), small.method("imder"), small.batch(24)
    method.start_from(first)
    small.train(method, batch, small.masks(batch), 2)
    for key, value in first.encoders.state_dict().items():
        assert torch.equal(method.encoders.state_dict()[key], value)
    assert any(
        not torch.equal(method.fusion.state_dict()[k], v) for k, v in first.fusion.state_dict().items()
    )


@pytest.mark.parametrize("sampler", ["flow", "diffusion"])
def test_a_sample_is_the_same_in_any_company_and_at_any_time(small, sampler):
    method, batch = small.method("imder", sampler=sampler).eval(), small.batch()
    visible = small.masks(batch)
    torch.manual_seed(3)
    first = predictions(method, batch, {"x": visible})["x"]
    torch.manual_seed(4)
    again = predictions(method, batch, {"x": visible})["x"]
    assert torch.equal(first.logits, again.logits)
    rows = torch.tensor([7, 2])
    some = predictions(method, small.take(batch, rows), {"x": visible[rows]})["x"]
    torch.testing.assert_close(some.logits, first.logits[rows], atol=1e-5, rtol=1e-5)
    for m in "svt":
        torch.testing.assert_close(some.recovered[m], first.recovered[m][rows], atol=1e-5, rtol=1e-5)


def test_training_samples_anew(small):
    method, batch = small.method("imder", dropout=0.0).train(), small.batch(absent=0.0)
    first, second = (training_losses(method, batch, visibility("s", 10))["rec"] for _ in range(2))
    assert first != second


def test_the_condition_is_what_there_is(small):
    method, batch = small.method("imder").eval(), small.batch(absent=0.0)
    x = method.truths(batch)
    rows = torch.arange(10)
    alone, both = (visibility(c, 10) for c in ("v", "sv"))
    assert torch.equal(method._condition("t", x, alone, rows), x["v"])
    joined = method.joins["t"](torch.cat([x["s"], x["v"]], -1))
    torch.testing.assert_close(method._condition("t", x, both, rows), joined)


def calls(method, ask) -> int:
    """How many rows the score networks are asked about."""
    asked = []
    hooks = [
        network.register_forward_hook(lambda _, given, out: asked.append(len(given[0])))
        for network in method.scores.values()
    ]
    ask()
    for hook in hooks:
        hook.remove()
    return sum(asked)


def test_a_training_step_asks_a_tenth_of_the_authors_or_less(small):
    """By the rows that go through a score network forwards; those of the score's own loss are among them."""
    batch = small.batch(absent=0.0)
    visible = small.masks(batch)

    def asked(**settings):
        method = small.method("imder", **settings).train()
        return calls(method, lambda: training_losses(method, batch, visible))

    ours, authors = asked(), asked(sampler="diffusion", training_steps=100)
    assert ours <= authors / 10
    method = small.method("imder", steps=10).eval()
    hidden = hide(batch, visibility("t", 10))
    assert calls(method, lambda: method.predict(hidden)) == 2 * 10 * 20  # ten steps, two missing of ten


@pytest.mark.parametrize(
    ("wrong", "says"), [({"length": 6, "levels": 3}, "multiple of 4"), ({"channels": 6}, "channels must be")]
)
def test_sizes_that_do_not_fit_are_refused(small, wrong, says):
    with pytest.raises(Exception, match=says):
        small.method("imder", **wrong)
