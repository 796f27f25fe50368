"""An information bottleneck on each step, and cascaded residual autoencoders over time (CyIN, Lin et al. 2025)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class Bottleneck(nn.Module):
    """(B, L, D) -> mean and log variance (B, L, b) of a Gaussian a step: two layers on every step by itself.

    >>> mean, log_variance = Bottleneck(dim=5, hidden=8, b=4)(torch.zeros(2, 3, 5))
    >>> mean.shape, log_variance.shape
    (torch.Size([2, 3, 4]), torch.Size([2, 3, 4]))
    """

    def __init__(self, dim: int, hidden: int, b: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * b))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        mean, log_variance = self.layers(x).chunk(2, dim=-1)
        return mean, log_variance.clamp(-10.0, 10.0)


class TemporalAutoencoder(nn.Module):
    """(B, width, L) -> the correction (B, width, L): convolutions over three steps without bias, down and up again.

    >>> TemporalAutoencoder(width=8, sizes=(4, 2))(torch.zeros(3, 8, 5)).shape
    torch.Size([3, 8, 5])
    """

    def __init__(self, width: int, sizes: Sequence[int]):
        super().__init__()
        down, up = (width, *sizes), (*sizes[::-1], width)
        layers: list[nn.Module] = []
        for before, after in pairwise(down):
            layers += [_convolution(before, after), nn.LeakyReLU()]
        for before, after in pairwise(up):
            layers += [_convolution(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])  # no activation after the last

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.layers(x)
        return out


class Translation(nn.Module):
    """Latents of one modality -> those of another, (B, L, b): `blocks` residual autoencoders, two convolutions.

    x_{i+1} = x_i + D_i(E_i(x_i)), as in `cmarr.layers.cascade`, over time; one serves a pair of modalities both ways.

    >>> Translation(b=8, blocks=2)(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, b: int, blocks: int):
        super().__init__()
        sizes = [max(b // part, 1) for part in (2, 4, 8)]
        self.blocks = nn.ModuleList(TemporalAutoencoder(b, sizes) for _ in range(blocks))
        self.close = nn.Sequential(_convolution(b, b), nn.ReLU(), _convolution(b, b))

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        x = z.transpose(1, 2)  # (B, b, L)
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.close(x).transpose(1, 2)
        return out


def _convolution(before: int, after: int) -> nn.Conv1d:
    return nn.Conv1d(before, after, 3, padding=1, bias=False)
