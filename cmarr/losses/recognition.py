"""The recognition loss: L_cls."""

import torch.nn.functional as F
from torch import Tensor


def recognition_loss(logits: Tensor, labels: Tensor, counted: Tensor, regression: bool) -> Tensor:
    """Cross-entropy of the classes, or in a regression task the L1 distance of the score; a scalar.

    logits (B, K), labels (B,); counted (B,) bool: only these rows enter the mean, which is 0 without any.
    """
    if regression:
        each = (logits.float().squeeze(1) - labels).abs()
    else:
        each = F.cross_entropy(logits.float(), labels, reduction="none")
    return (each * counted).sum() / counted.sum().clamp(min=1)
