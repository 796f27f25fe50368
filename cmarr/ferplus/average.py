"""The running average of a network's weights, which scores better than the weights of any single step."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Average:
    """Exponential moving average of every floating-point tensor of a network, running statistics included.

    `decay` is what a step keeps of the average; over the first steps it keeps less, (1 + n) / (10 + n) at the n-th.
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float):
        self.tensors = {
            name: value.detach().clone() for name, value in tensors.items() if value.is_floating_point()
        }
        self.decay = decay

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Move towards the tensors after step number `step`, counted from 0."""
        kept = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), [tensors[name] for name in self.tensors], 1 - kept)
