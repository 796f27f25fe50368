"""What MMIN and the methods that grew out of it share: encoders, the view of a masked batch, two of the losses.

Their first stage learns from complete data; their second imagines, from what may be used, what the frozen encoders
of the first make of the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.layers.sequence_encoders import TextEncoder, UtteranceEncoders
from cmarr.losses.imagination import imagination_loss
from cmarr.methods.branches import modalities_of, usable_in


def utterance_encoders(
    dims: Mapping[str, int], d: int, text_dropout: float, text: TextEncoder = "cnn"
) -> UtteranceEncoders:
    """An encoder for every modality that the corpus has, (B, T, D) to (B, d) each."""
    return UtteranceEncoders({m: dims[m] for m in modalities_of(dims)}, d, text_dropout, text=text)


@dataclass(frozen=True)
class MaskedView:
    """A batch as the second stage sees it; (B, M) bool each, in the order of the method's modalities.

    available: what exists
    usable:    what of it may be used
    """

    available: Tensor
    usable: Tensor

    @property
    def hidden(self) -> Tensor:
        """What exists and may not be used: it serves as a detached target alone."""
        return self.available & ~self.usable

    @property
    def answerable(self) -> Tensor:
        """(B,), the rows in which something may be used."""
        return self.usable.any(1)

    @property
    def imagined(self) -> Tensor:
        """Where imagination is measured: what exists, in answerable rows that hide something."""
        return self.available & (self.answerable & self.hidden.any(1))[:, None]


def masked_view(batch: Batch, visible: Tensor, modalities: tuple[str, ...]) -> MaskedView:
    """The view of a batch under a visibility (B, 3)."""
    return MaskedView(*usable_in(batch, visible, modalities))


def guided_losses(
    view: MaskedView,
    *,
    imagined: Tensor,
    reverse: Tensor,
    invariant: Tensor,
    kept: Tensor,
    imagination_weight: float,
    invariance_weight: float,
) -> dict[str, Tensor]:
    """The two losses of IF-MMIN and CIF-MMIN beside recognition, weighted; all tensors (B, M, d).

    imagination: of what was `imagined` for what the frozen encoders make of the hidden modalities, `reverse`
    invariance:  of the `invariant` features of the masked input for those of the complete one, `kept`
    """
    stays = view.available & view.answerable[:, None]
    return {
        "imagination": imagination_weight * imagination_loss(imagined, reverse, view.imagined),
        "invariance": invariance_weight * imagination_loss(invariant, kept, stays),
    }
