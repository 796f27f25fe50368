"""The rivals of 2023 to 2026 learn: a few passes over a small corpus, and they beat chance from one modality alone."""

from dataclasses import replace

import pytest
import torch

from cmarr.methods.asking import predictions, training_losses
from cmarr.methods.protocol import WarmedUp
from tests.methods.conftest import FIRST

SIZES = {
    "cmad": {"dropout": 0.0},
    "momke": {"dropout": 0.0},
    "imder": {"dropout": 0.0},
    "gcnet": {"dropout": 0.0, "d": 32},
    "primd": {"dropout": 0.0},
    "cyin": {"dropout": 0.0},
}


def told(small, rows: int, seed: int):
    """Frames that each modality's classes lift, three classes."""
    batch = small.batch(rows, seed=seed, absent=0.1)
    values = {
        m: x + 1.5 * torch.eye(x.shape[1])[batch.labels].repeat_interleave(batch.lengths[m], dim=0)
        for m, x in batch.values.items()
    }
    return replace(batch, values=values)


def trained(small, method, batch, epochs: int, masked: bool = True):
    """The method after `epochs` steps of one Adam on a batch, masks anew in each."""
    learnt = [p for p in method.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learnt, lr=1e-2)
    method.train()
    for epoch in range(1, epochs + 1):
        if isinstance(method, WarmedUp):
            method.begin_epoch(epoch, epochs)
        visible = small.masks(batch, seed=epoch) if masked else torch.ones(len(batch), 3).bool()
        loss = torch.stack(list(training_losses(method, batch, visible).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return method.eval()


@pytest.mark.parametrize("name", SIZES)
def test_it_beats_chance_from_every_modality_alone(small, name):
    train, test = told(small, 72, 1), told(small, 90, 2)
    method = small.method(name, **SIZES[name])
    if name in FIRST:
        torch.manual_seed(0)
        first = trained(small, small.first_stage(name, dropout=0.0), train, 15, masked=False)
        method.start_from(first)
    trained(small, method, train, 20)
    visible = {m: torch.tensor([m == n for n in "svt"]).expand(90, 3) for m in "svt"}
    for m, answer in predictions(method, test, visible).items():
        there = test.lengths[m] > 0
        right = (answer.logits.argmax(1) == test.labels)[there].float().mean().item()
        assert right > 0.5, (name, m, right)  # a third by chance
