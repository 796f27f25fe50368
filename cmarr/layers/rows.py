"""Which rows of a batch some work is done for."""

import torch
from torch import Tensor


def worked_rows(mask: Tensor, training: bool = True) -> Tensor:
    """Numbers (R,) of the rows to work on: those of `mask` (N,) bool, and maybe more, whose result is not to be used.

    On a CPU work is what costs, and it is done where it is needed. Elsewhere small kernels cost the same for all rows,
    and to learn how many are needed one would have to wait for the device: a training step works on all rows there, so
    that it never waits, and its shapes do not depend on the masks; nor may they in a step that is compiled.
    """
    if training and (mask.device.type != "cpu" or torch.compiler.is_compiling()):
        return torch.arange(len(mask), device=mask.device)
    return mask.nonzero().squeeze(1)
