"""The one place where a method is asked. What is hidden is taken away before: a method cannot read it.

In training and prediction alike a method gets batches in which a hidden modality does not exist. What is hidden serves
as the target of a loss alone, in a batch of its own, and only for a method that says which of its losses need it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch, hide, side_by_side
from cmarr.methods.protocol import Method, Prediction, Represents

T = TypeVar("T")


def looks_at_hidden(method: nn.Module) -> bool:
    """Whether a loss of the method, set as it is, has something hidden as its target."""
    return bool(getattr(method, "hidden_losses", ()))


def in_dialogues(method: nn.Module) -> bool:
    """Whether the method, set as it is, reads the other utterances of a dialogue: it is given whole dialogues then."""
    return bool(getattr(method, "in_dialogues", False))


def training_losses(method: nn.Module, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
    """The method's losses where `visible` (B, 3) of a batch may be used."""
    seen = hide(batch, visible)
    return cast(Method, method).training_losses(seen, batch if looks_at_hidden(method) else seen)


def predictions(method: nn.Module, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
    """The method's predictions under each named visibility (B, 3). No sequence is read twice."""
    ask, together = cast(Method, method).predict, in_dialogues(method)
    if drawn := getattr(method, "redraws_masks", 0):
        cast(Any, method).redraws_masks = drawn + 1
        return _redrawn(ask, batch, visible, torch.Generator().manual_seed(drawn))
    return _side_by_side(ask, _part_of_prediction, batch, visible, together)


def _redrawn(
    ask: Callable[[Batch], Prediction], batch: Batch, visible: Mapping[str, Tensor], draws: torch.Generator
) -> dict[str, Prediction]:
    """Each utterance is asked once under each of P visibilities, in an order of its own: those around show others."""
    named = torch.stack(list(visible.values()))  # (P, B, 3)
    order = (
        torch.rand(named.shape[:2], generator=draws).argsort(0).to(named.device)
    )  # (P, B), asked in which copy
    copies = named.gather(0, order[..., None].expand_as(named))
    found = ask(side_by_side(batch, list(copies)))
    rows = order.argsort(0) * len(batch) + torch.arange(len(batch), device=named.device)  # (P, B)
    return {name: _part_of_prediction(found, rows[p]) for p, name in enumerate(visible)}


def fused(method: nn.Module, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vectors (B, d) of a `Represents` under each named visibility (B, 3)."""
    together = in_dialogues(method)
    return _side_by_side(cast(Represents, method).fused, lambda h, rows: h[rows], batch, visible, together)


def _side_by_side(
    ask: Callable[[Batch], T],
    part: Callable[[T, Tensor], T],
    batch: Batch,
    visible: Mapping[str, Tensor],
    in_dialogues: bool,
) -> dict[str, T]:
    """Ask about all visibilities at once; to an utterance without video 'vt' is 't' again, and asked about once.

    Not so of a method that reads dialogues: under 'vt' the utterances around it may show another thing than under 't'.
    """
    together = side_by_side(batch, list(visible.values()))
    patterns = together.available.view(len(visible), len(batch), 3)
    same = (patterns[:, None] == patterns[None]).all(-1)  # (P, P, B)
    first = same.int().argmax(1)  # (P, B), the first of equals
    numbers = torch.arange(len(visible), device=first.device)[:, None]  # (P, 1)
    if in_dialogues:
        first = numbers.expand_as(first)
    own = first == numbers  # (P, B)
    asked = own.flatten().nonzero().squeeze(1)  # (R,)
    place = own.flatten().cumsum(0) - 1  # (P B,)
    found = ask(_rows(together, asked))
    columns = torch.arange(len(batch), device=first.device)
    return {name: part(found, place[first[p] * len(batch) + columns]) for p, name in enumerate(visible)}


def _rows(batch: Batch, rows: Tensor) -> Batch:
    """Some utterances of a batch, which has its sequences apart from them."""
    return replace(
        batch,
        available=batch.available[rows],
        labels=batch.labels[rows],
        sequence={m: own[rows] for m, own in batch.sequence.items()},
        visible=None if batch.visible is None else batch.visible[rows],
        dialogues=None if batch.dialogues is None else batch.dialogues[rows],
    )


def _part_of_prediction(whole: Prediction, rows: Tensor) -> Prediction:
    return Prediction(
        whole.logits[rows],
        {m: x[rows] for m, x in whole.recovered.items()},
        {m: x[rows] for m, x in whole.recovered_rows.items()},
        None if whole.uncertainty is None else whole.uncertainty[rows],
    )
