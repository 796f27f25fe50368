"""CRA stand-alone."""

import torch

from cmarr.data.batch import visibility
from cmarr.data.statistics import mean_over_time
from cmarr.methods.asking import training_losses


def test_what_is_hidden_is_reconstructed_from_what_is_not(small):
    method, batch = small.method("cra").eval(), small.batch(absent=0.0)
    visible = visibility("t", 10)
    loss = training_losses(method, batch, visible)["reconstruction"]
    pooled = {m: mean_over_time(batch.values[m], batch.lengths[m]) for m in "svt"}
    encoded = [method.encoders[m](x if m == "t" else torch.zeros_like(x)) for m, x in pooled.items()]
    completed, _ = method.cascade(torch.cat(encoded, dim=1))
    errors = [(method.decoders[m](completed) - pooled[m]).square().sum(1) / pooled[m].shape[1] for m in "sv"]
    torch.testing.assert_close(loss, 0.1 * (errors[0] + errors[1]).mean())


def test_complete_utterances_have_nothing_to_reconstruct(small):
    batch = small.batch(absent=0.0)
    assert training_losses(small.method("cra"), batch, visibility("svt", 10))["reconstruction"].item() == 0.0


def test_what_is_absent_is_no_target(small):
    batch = small.without(small.batch(absent=0.0), "v")
    assert training_losses(small.method("cra"), batch, visibility("st", 10))["reconstruction"].item() == 0.0


def test_the_weight_scales_the_reconstruction_alone(small):
    batch = small.batch()
    visible = small.masks(batch)
    once = training_losses(small.method("cra", reconstruction_weight=0.1).eval(), batch, visible)
    twice = training_losses(small.method("cra", reconstruction_weight=0.2).eval(), batch, visible)
    torch.testing.assert_close(twice["reconstruction"], 2 * once["reconstruction"])
    torch.testing.assert_close(twice["cls"], once["cls"])


def test_a_gradient_reaches_every_parameter(small):
    method, batch = small.method("cra", dropout=0.0), small.batch(24)
    sum(training_losses(method, batch, small.masks(batch)).values()).backward()
    assert all(p.grad.abs().sum() > 0 for p in method.parameters())


def test_sizes_of_the_authors(small):
    """MLPs of 128, blocks 384-256-128, decoders 384-128-128-D."""
    from cmarr.methods.registry import build_method

    method = build_method("cra", {"s": 130, "v": 342, "t": 1024}, small.classes, {})
    widths = [p.shape[0] for n, p in method.cascade.blocks[0].named_parameters() if n.endswith("weight")]
    assert widths == [256, 128, 256, 384]
    assert len(method.cascade.blocks) == 2
