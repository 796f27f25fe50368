"""The straightforward CM-ARR that the engine's speed is compared with computes the same thing."""

import torch

from benchmarks import plain
from cmarr.data.batch import Batch
from cmarr.methods.asking import training_losses
from cmarr.methods.cmarr import CMARR
from cmarr.task import Task

DIMS = {"s": 6, "v": 5, "t": 7}


def test_losses_and_gradients_are_those_of_the_method():
    torch.manual_seed(0)
    sizes = CMARR.Settings(d=8, length=4, flow_steps=2, blocks=1, heads=2, dropout=0.0)
    method = CMARR(DIMS, Task(("a", "b", "c")), sizes)
    lengths = {m: torch.randint(1, 6, (12,)) for m in DIMS}
    samples = [
        ({m: torch.randn(int(lengths[m][i]), width) for m, width in DIMS.items()}, i % 3, torch.rand(3) < 0.5)
        for i in range(12)
    ]
    for _, _, visible in samples:
        visible[0] |= ~visible.any()
    padded, lengths, seen, labels = plain.collate(samples)
    values = {m: torch.cat([own[m] for own, _, _ in samples]) for m in DIMS}
    batch = Batch(values, lengths, torch.ones(12, 3, dtype=torch.bool), labels)
    with torch.no_grad():
        for parameter in method.recovery.flows.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # the flows start as the identity
    training_losses(method, batch, seen)  # the starts from the first batch
    found, gradients = [], []
    for compute in (
        lambda: training_losses(method, batch, seen),
        lambda: plain.losses(method, (padded, lengths, seen, labels)),
    ):
        losses = compute()
        found.append(losses)
        method.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None]))
    assert found[0].keys() == found[1].keys()
    for name, loss in found[0].items():
        torch.testing.assert_close(loss, found[1][name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)
