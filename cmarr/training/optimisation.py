"""How far a step goes: the course of the learning rate, and limits to the gradient."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from cmarr.methods.finetuned import FineTuned

PLATEAU_FACTOR = 0.1
"""What the learning rate is multiplied by on a plateau."""


def rate(
    schedule: str, epoch: int, epochs: int, *, decay: float, plateau: int, scores: Sequence[float]
) -> float:
    """What the learning rate is multiplied by in an epoch.

    A function of the past alone, so that a training that goes on after a kill needs no state of its own.

    Args:
        schedule: 'constant'; 'linear', constant and then falling in a line over the last share `decay` of
            the epochs, to 0 behind the last; 'plateau', a tenth whenever the best validation score is more
            than `plateau` epochs old.
        epoch: counted from 1, of `epochs`.
        scores: validation scores of the epochs before, more is better.
    """
    if schedule == "linear":
        falling = round(decay * epochs)
        return min(1.0, (epochs - epoch + 1) / (falling + 1))
    if schedule == "plateau":
        factor, best, waited = 1.0, -math.inf, 0
        for score in scores:
            best, waited = (score, 0) if score > best else (best, waited + 1)
            if waited > plateau:
                factor, waited = factor * PLATEAU_FACTOR, 0
        return factor
    return 1.0


def parts(method: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The sub-networks of a method: its direct children, those of a collection one by one.

    A collection is a dictionary or a list of networks, one a modality as a rule. Parameters that lie
    directly in the method are one part more. Of a method with encoders below it: its own parts, and each encoder.
    What does not learn is in no part.
    """
    if isinstance(method, FineTuned):
        yield from parts(method.method)
        yield from filter(None, (_learning(encoder) for encoder in method.encoders.children()))
        return
    if own := [p for p in method.parameters(recurse=False) if p.requires_grad]:
        yield own
    for child in method.children():
        collection = isinstance(child, nn.ModuleDict | nn.ModuleList)
        for part in child.children() if collection else [child]:
            if found := _learning(part):
                yield found


def _learning(part: nn.Module) -> list[nn.Parameter]:
    return [p for p in part.parameters() if p.requires_grad]


def limit_gradients(method: nn.Module, limit: float, by: str) -> Tensor:
    """Limit the gradients in place, and return the norm of the whole before that.

    by: 'whole', the norm of all gradients together is at most `limit`; 'part', that of each sub-network;
    'value', each entry lies in [-limit, limit]. A limit of 0 is none.
    """
    if by == "part" and limit:
        norms = [nn.utils.clip_grad_norm_(part, limit) for part in parts(method)]
        return torch.stack(norms).square().sum().sqrt()
    whole = limit if by == "whole" and limit else math.inf
    norm = nn.utils.clip_grad_norm_(method.parameters(), whole)
    if by == "value" and limit:
        nn.utils.clip_grad_value_(method.parameters(), limit)
    return norm
