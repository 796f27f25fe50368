"""The arithmetic of a pretrained network: where it runs, and in float32 or bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from cmarr.device import choose_device

Precision = Literal["fp32", "bf16"]


class Arithmetic:
    """Device and precision of a network.

    bf16 is autocast: matrix products and convolutions in bfloat16, the rest as torch decides. Their weights are
    converted once, where plain autocast converts them anew in every batch.
    """

    def __init__(self, device: str, precision: Precision):
        self.device = torch.device(choose_device(device))
        self.precision = precision
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32: torch's default rounds convolutions

    def threads(self, workers: int) -> int:
        """How many batches to run side by side: one a core, or one on a GPU."""
        return workers if self.device.type == "cpu" else 1

    def place(self, network: Any) -> Any:
        """The network, moved and converted; weights that are computed from others are computed once."""
        for module in network.modules():
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):
                    parametrize.remove_parametrizations(module, name)
        if self.precision == "bf16":
            for module in network.modules():
                if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                    module.to(torch.bfloat16)
        return network.to(self.device)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Everything inside runs without gradients, in this precision. It holds for the thread that enters."""
        bf16 = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            yield
