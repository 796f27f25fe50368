"""CMAD: the public code's size, who sees what is hidden, and when combinations begin to weigh."""

import torch

from cmarr.data.batch import hide, visibility
from cmarr.methods.asking import training_losses
from cmarr.methods.registry import build_method
from cmarr.task import Task

MOSEI = {"t": 768, "s": 74, "v": 35}
AUTHORS = {
    **{"d": 96, "latents": 5, "resampler_layers": 5, "depth": 2, "heads": 16, "dropout": 0.3},
    **{"network": "published", "head_width": 16, "wide": 2048},
}


def test_parameters_of_the_authors():
    """7.4 million, as the public code has; MCUR's layers at these sizes have 1.6 million."""
    count = {
        network: sum(
            p.numel()
            for p in build_method("cmad", MOSEI, Task(), {**AUTHORS, "network": network}).parameters()
        )
        for network in ("published", "mcur")
    }
    assert count == {"published": 7_440_449, "mcur": 1_604_257}


def test_its_terms_and_their_weights(small):
    batch = small.batch()
    visible = small.masks(batch)
    usual = training_losses(small.method("cmad").eval(), batch, visible)
    assert list(usual) == ["cls", "feature", "logit"]
    for key, term in (("feature_weight", "feature"), ("logit_weight", "logit")):
        default = build_method("cmad", small.dims, small.classes, small.sizes("cmad")).settings
        doubled = training_losses(
            small.method("cmad", **{key: 2 * getattr(default, key)}).eval(), batch, visible
        )
        for name, loss in usual.items():
            torch.testing.assert_close(doubled[name], loss * (2 if name == term else 1))
        assert term not in training_losses(small.method("cmad", **{key: 0.0}).eval(), batch, visible)


def test_the_teacher_alone_sees_what_is_hidden(small):
    method, batch = small.method("cmad").eval(), small.batch(absent=0.0)
    visible = visibility("s", 10)
    clean, other = (training_losses(method, b, visible) for b in (batch, small.with_noise(batch, "t")))
    assert torch.equal(clean["cls"], other["cls"])
    assert not torch.equal(clean["feature"], other["feature"])
    assert not torch.equal(clean["logit"], other["logit"])


def test_combinations_weigh_after_the_warm_up_and_then_stay(small):
    method, batch = small.method("cmad", warm_up=2), small.batch(24)
    visible, weights = small.masks(batch), []
    for epoch in range(1, 6):
        method.begin_epoch(epoch, 9)
        small.train(method, batch, visible, 1)
        weights.append(method.combinations.weights.clone())
    assert torch.equal(weights[1], torch.ones(8))
    assert weights[2].max() == 20.0
    assert torch.equal(weights[2], weights[4])


def test_without_mar_they_never_do(small):
    method, batch = small.method("cmad", mar=False, warm_up=0), small.batch(24)
    method.begin_epoch(1, 9)
    small.train(method, batch, small.masks(batch), 1)
    assert not method.combinations.seen.any()
    assert torch.equal(method.combinations.weights, torch.ones(8))


def test_the_published_layers_hide_and_forget_padding_as_well(small):
    method = small.method("cmad", network="published", latents=3).eval()
    batch = small.batch()
    visible = small.masks(batch)
    whole = method.predict(hide(batch, visible)).logits
    index = torch.tensor([4])
    alone = method.predict(hide(small.take(batch, index), visible[index])).logits
    torch.testing.assert_close(alone, whole[index], atol=1e-5, rtol=1e-5)
    losses = training_losses(method, batch, visible)
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
