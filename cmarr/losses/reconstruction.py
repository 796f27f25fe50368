"""The reconstruction loss: L_rec (Eq 9)."""

from typing import Literal

from torch import Tensor

Reduction = Literal["mean_squared", "frobenius_sum"]


def reconstruction_loss(
    recovered: Tensor, truth: Tensor, masked: Tensor, reduction: Reduction = "mean_squared"
) -> Tensor:
    """||X^ - X||_F^2 over the modalities that were hidden and whose truth exists; a scalar.

    recovered, truth: (M, B, L, d); masked: (M, B) bool, which of them count. The truth is a target: no
    gradient flows into it. "mean_squared" is the mean over all entries that count, which keeps the weight
    lambda independent of L and d; "frobenius_sum" is the literal sum over the entries of one
    representation, averaged over the representations that count. Nothing hidden: 0.

    >>> found, truth = torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 3, 4)
    >>> masked = torch.tensor([[True, False]])
    >>> reconstruction_loss(found, truth, masked).item()
    1.0
    >>> reconstruction_loss(found, truth, masked, "frobenius_sum").item()  # L d = 12
    12.0
    """
    error = (recovered.float() - truth.detach().float()) * masked[..., None, None]
    per_representation = error.square().sum() / masked.sum().clamp(min=1)
    if reduction == "frobenius_sum":
        return per_representation
    return per_representation / truth[0, 0].numel()
