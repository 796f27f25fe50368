"""Which modalities a method has branches for, and where it may use them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.errors import UserError
from cmarr.modalities import MODALITIES


def modalities_of(dims: Mapping[str, int]) -> tuple[str, ...]:
    """The modalities of a corpus in the order s, v, t. Raises UserError without any."""
    modalities = tuple(m for m in MODALITIES if m in dims)
    if not modalities:
        raise UserError(
            "the corpus has features of no modality at all: run the extraction, or check its input"
        )
    return modalities


def usable_in(batch: Batch, visible: Tensor, modalities: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """(B, M) bool each, in the order of `modalities`: what is available, and what of it may be used."""
    columns = [MODALITIES.index(m) for m in modalities]
    available = batch.available[:, columns]
    return available, available & visible[:, columns]


def usable_under(batch: Batch, visible: Mapping[str, Tensor], modalities: tuple[str, ...]) -> Tensor:
    """(P, B, M) bool: what may be used under each of P named visibilities, in their order."""
    return torch.stack([usable_in(batch, v, modalities)[1] for v in visible.values()])


def check_sizes(method: str, *, d: int, heads: int, length: int) -> None:
    """Refuse sizes that cannot work, with the key's name. Raises UserError."""
    if length < 1:
        raise UserError(f"method.{method}.length: {length} steps; there must be at least 1")
    if heads < 2 or heads % 2:
        raise UserError(f"method.{method}.heads: {heads} must be an even number of at least 2")
    if d % heads:
        raise UserError(
            f"method.{method}.d: {d} channels cannot be divided among {heads} heads; take a multiple"
        )
