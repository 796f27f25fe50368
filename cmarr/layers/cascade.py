"""Cascaded residual autoencoders, which imagine what is missing (Tran et al. 2017), and a classifier behind them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class CascadeBlock(nn.Module):
    """One autoencoder: x (B, width) -> latent z (B, sizes[-1]) and the correction y = D(E(x)) (B, width).

    sizes: the encoder's widths, e.g. (256, 128, 64); the decoder takes the way back.

    >>> z, y = CascadeBlock(width=6, sizes=(4, 2))(torch.zeros(3, 6))
    >>> z.shape, y.shape
    (torch.Size([3, 2]), torch.Size([3, 6]))
    """

    def __init__(self, width: int, sizes: Sequence[int]):
        super().__init__()
        way = (width, *sizes)
        self.encode = _chain(way, nn.LeakyReLU)
        self.decode = _chain(way[::-1], nn.ReLU)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        z = self.encode(x)
        return z, self.decode(z)


class ResidualCascade(nn.Module):
    """x_1 = x, y_i = D_i(E_i(x_i)), x_{i+1} = x_i + y_i; out = T(x_n + y_n).

    T is Linear-ReLU-Linear, as in MMIN, or with `transition=False` the identity, as in CRA.

    >>> out, latents = ResidualCascade(width=6, sizes=(4, 2), blocks=5)(torch.zeros(3, 6))
    >>> out.shape, latents.shape
    (torch.Size([3, 6]), torch.Size([3, 10]))
    """

    part = "recovery"

    def __init__(self, width: int, sizes: Sequence[int], blocks: int, transition: bool = True):
        super().__init__()
        self.blocks = nn.ModuleList(CascadeBlock(width, sizes) for _ in range(blocks))
        self.transition = _transition(width) if transition else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, width) -> out (B, width) and the latents z_i side by side (B, blocks * sizes[-1])."""
        latents = []
        for block in self.blocks:
            z, y = block(x)
            x = x + y
            latents.append(z)
        return self.transition(x), torch.cat(latents, dim=-1)


class GuidedCascade(nn.Module):
    """Every block is given the modality-invariant feature H' anew (IF-MMIN, CIF-MMIN).

    y_0 = x, x_i = y_{i-1} + H', y_i = D_i(E_i(x_i)); out = T(y_n), or with `residual` T(x_n + y_n).

    >>> cascade = GuidedCascade(width=6, sizes=(4, 2), blocks=5, residual=True)
    >>> out, latents = cascade(torch.zeros(3, 6), torch.ones(3, 6))
    >>> out.shape, latents.shape
    (torch.Size([3, 6]), torch.Size([3, 10]))
    """

    part = "recovery"

    def __init__(self, width: int, sizes: Sequence[int], blocks: int, residual: bool):
        super().__init__()
        self.blocks = nn.ModuleList(CascadeBlock(width, sizes) for _ in range(blocks))
        self.transition = _transition(width)
        self.residual = residual

    def forward(self, x: Tensor, invariant: Tensor) -> tuple[Tensor, Tensor]:
        """x and H' (B, width) -> out (B, width) and the latents side by side (B, blocks * sizes[-1])."""
        latents, y = [], x
        for block in self.blocks:
            x = y + invariant
            z, y = block(x)
            latents.append(z)
        return self.transition(x + y if self.residual else y), torch.cat(latents, dim=-1)


def _chain(way: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(way):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])  # no activation after the last


def _transition(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


def classifier(width: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """(Linear, ReLU, dropout) twice, `hidden` wide, then Linear: (B, `width`) -> (B, `outputs`).

    >>> classifier(width=6, hidden=8, outputs=4, dropout=0.5)(torch.zeros(3, 6)).shape
    torch.Size([3, 4])
    """
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )
