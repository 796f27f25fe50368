"""The rivals of 2023 to 2026 learn: a few passes over a small corpus, and they beat chance from one modality alone."""

from dataclasses import replace

import pytest
import torch

from cmarr.methods.asking import predictions
from cmarr.methods.protocol import WarmedUp
from cmarr.methods.registry import method_class
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


@pytest.mark.parametrize("name", SIZES)
def test_it_beats_chance_from_every_condition(small, name):
    train, test = told(small, 96, 1), told(small, 90, 2)
    method = small.method(name, **SIZES[name])
    if name in FIRST:
        first = small.first_stage(name, dropout=0.0)
        small.train(first, train, torch.ones(96, 3).bool(), 25, lr=5e-3)
        method.start_from(first)
    for epoch in range(1, 31):
        if isinstance(method, WarmedUp):
            method.begin_epoch(epoch, 30)
        torch.manual_seed(epoch)
        small.train(method, train, small.masks(train, seed=epoch), 1, lr=5e-3)
    method.eval()
    visible = {m: torch.tensor([m == n for n in "svt"]).expand(90, 3) for m in "svt"}
    for m, answer in predictions(method, test, visible).items():
        there = test.lengths[m] > 0
        right = (answer.logits.argmax(1) == test.labels)[there].float().mean()
        assert right > 0.5, (method_class(name).__name__, m, right)  # a third by chance
