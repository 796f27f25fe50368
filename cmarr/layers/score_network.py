"""The score of a sequence's density at every time of a diffusion, given another sequence (IMDer, Wang et al. 2023)."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmarr.layers.attention import TransformerLayer
from cmarr.layers.diffusion import deviation

FREQUENCIES = 128
SCALE = 30.0
"""Deviation of the random frequencies that a time is told by."""


class TimeFeatures(nn.Module):
    """Times (R,) -> (R, 256): sines and cosines of fixed random frequencies, a layer, swish.

    >>> TimeFeatures()(torch.zeros(2)).shape
    torch.Size([2, 256])
    """

    def __init__(self) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", SCALE * torch.randn(FREQUENCIES))
        self.layer = nn.Linear(2 * FREQUENCIES, 2 * FREQUENCIES)

    def forward(self, t: Tensor) -> Tensor:
        """See the class."""
        angles = 2 * math.pi * t[:, None] * self.frequencies
        return F.silu(self.layer(torch.cat([angles.sin(), angles.cos()], 1)))


class Level(nn.Module):
    """A convolution, the time added, group norm, swish; then the map reads the condition, which is convolved in step.

    >>> convolutions = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(4, 8, 3, padding=1)
    >>> x, condition = Level(*convolutions, width=8, groups=4, heads=2, layers=1)(
    ...     torch.zeros(2, 4, 5), torch.zeros(2, 4, 5), torch.zeros(2, 256)
    ... )
    >>> x.shape, condition.shape
    (torch.Size([2, 8, 5]), torch.Size([2, 8, 5]))
    """

    def __init__(
        self,
        convolution: nn.Module,
        condition: nn.Module,
        *,
        width: int,
        groups: int,
        heads: int,
        layers: int,
    ):
        super().__init__()
        self.convolution, self.condition = convolution, condition
        self.time = nn.Linear(2 * FREQUENCIES, width)
        self.norm = nn.GroupNorm(groups, width)
        self.reads = nn.ModuleList(TransformerLayer(width, heads, 0.0, part="") for _ in range(layers))

    def forward(self, x: Tensor, condition: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """x and condition (R, C, L), time (R, 256) -> both (R, width, L')."""
        x = F.silu(self.norm(self.convolution(x) + self.time(time)[..., None]))
        condition = self.condition(condition)
        read = x.transpose(1, 2)
        for layer in self.reads:
            read = layer(read, condition.transpose(1, 2))
        return read.transpose(1, 2), condition


class ScoreNetwork(nn.Module):
    """A U-Net over time, `levels` deep, its widths doubling from `channels`; what it gives is divided by std(t).

    L must be a multiple of 2^(levels - 1).

    >>> network = ScoreNetwork(d=6, channels=8, levels=3, heads=2, layers=1)
    >>> network(torch.zeros(2, 8, 6), torch.ones(2), torch.zeros(2, 8, 6)).shape
    torch.Size([2, 8, 6])
    """

    def __init__(self, d: int, channels: int, levels: int, heads: int, layers: int):
        super().__init__()
        widths = [channels * 2**level for level in range(levels)]
        self.time = TimeFeatures()

        def level(x: nn.Module, condition: nn.Module, width: int) -> Level:
            groups = 4 if width == channels else min(32, width // 2)
            return Level(x, condition, width=width, groups=groups, heads=heads, layers=layers)

        self.down = nn.ModuleList([level(_keep(d, channels), _keep(d, channels), channels)])
        for before, after in pairwise(widths):
            self.down.append(level(_halve(before, after), _halve(before, after), after))
        self.up = nn.ModuleList()
        for step, (before, after) in enumerate(pairwise(widths[::-1])):
            skipped = before if step else 0
            self.up.append(level(_double(before + skipped, after), _double(before, after), after))
        self.close = _keep(2 * channels if levels > 1 else channels, d)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """x and condition (R, L, d), t (R,) -> the score (R, L, d)."""
        time = self.time(t)
        h, c = x.transpose(1, 2), condition.transpose(1, 2)
        maps = []
        for level in self.down:
            h, c = level(h, c, time)
            maps.append(h)
        for step, level in enumerate(self.up):
            h, c = level(torch.cat([h, maps[-1 - step]], 1) if step else h, c, time)
        if len(self.up):
            h = torch.cat([h, maps[0]], 1)
        out: Tensor = self.close(h).transpose(1, 2)
        return out / deviation(t)[:, None, None]


def _keep(before: int, after: int) -> nn.Conv1d:
    return nn.Conv1d(before, after, 3, padding=1, bias=False)


def _halve(before: int, after: int) -> nn.Conv1d:
    return nn.Conv1d(before, after, 3, stride=2, padding=1, bias=False)


def _double(before: int, after: int) -> nn.ConvTranspose1d:
    return nn.ConvTranspose1d(before, after, 3, stride=2, padding=1, output_padding=1, bias=False)
