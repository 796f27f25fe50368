"""`masked`: zeros for what is missing, and CM-ARR's fusion network."""

import torch

from cmarr.data.batch import visibility
from cmarr.layers.fusion import Fusion
from cmarr.methods.asking import predictions, training_losses


def test_it_is_projections_and_fusion(small):
    method = small.method("masked").eval()
    assert isinstance(method.fusion, Fusion)
    batch = small.batch(absent=0.0)
    x = {m: method.projections[m](batch.values[m], batch.lengths[m]) for m in "svt"}
    x["v"] = torch.zeros_like(x["v"])
    expected = method.fusion(x, torch.zeros(10, 3, dtype=torch.bool))
    answer = predictions(method, batch, {"st": visibility("st", 10)})["st"]
    torch.testing.assert_close(answer.logits, expected)
    assert not answer.recovered


def test_its_only_loss_is_that_of_recognition(small):
    batch = small.batch()
    assert list(training_losses(small.method("masked"), batch, small.masks(batch))) == ["cls"]


def test_a_gradient_reaches_every_parameter(small):
    method, batch = small.method("masked"), small.batch()
    training_losses(method, batch, small.masks(batch))["cls"].backward()
    assert all(p.grad.abs().sum() > 0 for p in method.parameters())
