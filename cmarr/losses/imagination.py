"""The imagination loss: the mean squared error of what was imagined for what is missing."""

from torch import Tensor


def imagination_loss(imagined: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean over the entries that count of (imagined - target)^2; a scalar, 0 when nothing counts.

    imagined, target: (B, M, d), a vector a modality; counted (B, M) bool. No gradient flows into the
    target.
    """
    squares = (imagined.float() - target.detach().float()).square().mean(-1)  # (B, M)
    return (squares * counted).sum() / counted.sum().clamp(min=1)
