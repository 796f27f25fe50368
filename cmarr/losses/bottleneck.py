"""What an information bottleneck costs: the divergence of its Gaussians from the standard normal distribution."""

import torch
from torch import Tensor


def bottleneck_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)), mean over all axes but the first: (B, ...) -> (B,).

        (mean^2 + exp(log_variance) - 1 - log_variance) / 2

    >>> bottleneck_divergence(torch.tensor([[0.0], [2.0]]), torch.zeros(2, 1))
    tensor([0., 2.])
    """
    each = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
    return each.flatten(1).mean(1)


def drawn(mean: Tensor, log_variance: Tensor, training: bool) -> Tensor:
    """A sample of the Gaussians in training, their mean otherwise.

    >>> drawn(torch.ones(2), torch.zeros(2), training=False)
    tensor([1., 1.])
    """
    if not training:
        return mean
    # The same numbers are drawn whatever the precision of the step.
    return mean + torch.randn_like(mean, dtype=torch.float32) * (log_variance.float() / 2).exp()
