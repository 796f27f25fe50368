"""Normalizing flows on the channels of one step, built on nflows (Eq 6 and 8).

Each flow is an `nflows` CompositeTransform of K steps, and each step is ActNorm, a channel mixing and
an affine coupling (Kingma & Dhariwal 2018). Inputs are (N, d), one row a time step of an utterance.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from nflows.transforms.base import CompositeTransform, Transform
from nflows.transforms.permutations import Permutation
from torch import Tensor, nn

Mixing = Literal["lu", "permutation"]

SMALLEST_DEVIATION = 1e-3
"""A channel that deviates less counts as constant: ActNorm centres it and leaves its scale alone."""

LARGEST_LOG_SCALE = 1.0
"""A coupling scales by at most e to this power, so that K of them cannot overflow."""


class ActNorm(Transform):
    """y = exp(log_scale) x + shift per channel, started from data by `initialise`, then learned.

    Own, because that of nflows starts on whatever comes first, hidden modalities included, and yields
    NaN on a single or a constant row.
    """

    def __init__(self, features: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(False))

    @torch.no_grad()
    def initialise(self, rows: Tensor) -> None:
        """Make the outputs of `rows` (N, d) zero-mean with unit deviation. Fewer than two rows: not yet."""
        if len(rows) < 2:
            return
        deviation = rows.std(0, correction=0)
        deviation = torch.where(deviation < SMALLEST_DEVIATION, 1.0, deviation)
        self.log_scale.copy_(-deviation.log())
        self.shift.copy_(-rows.mean(0) / deviation)
        self.initialised.fill_(True)

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, d) -> (N, d) and log |det| (N,)."""
        return torch.addcmul(self.shift, inputs, self.log_scale.exp()), _each(inputs, self.log_scale.sum())

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The inverse of `forward`."""
        return (inputs - self.shift) * (-self.log_scale).exp(), _each(inputs, -self.log_scale.sum())


class LUMixing(Transform):
    """y = L U x + b: an invertible mixing of all channels; L has a unit, U a positive diagonal.

    Starts as the identity. Own, because the inverse of nflows' LULinear calls a deprecated solver.
    """

    def __init__(self, features: int):
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(features, features))
        self.upper = nn.Parameter(torch.zeros(features, features))
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def _factors(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(self.bias), dtype=self.bias.dtype, device=self.bias.device)
        return self.lower.tril(-1) + identity, self.upper.triu(1) + self.log_diagonal.exp().diag()

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, d) -> (N, d) and log |det| (N,)."""
        lower, upper = self._factors()
        return F.linear(inputs, lower @ upper, self.bias), _each(inputs, self.log_diagonal.sum())

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The inverse of `forward`."""
        lower, upper = self._factors()
        # Two triangular solves against the identity are d wide; against the inputs they would be N wide.
        identity = torch.eye(len(self.bias), dtype=self.bias.dtype, device=self.bias.device)
        half = torch.linalg.solve_triangular(lower, identity, upper=False, unitriangular=True)
        inverse = torch.linalg.solve_triangular(upper, half, upper=True)
        return F.linear(inputs - self.bias, inverse), _each(inputs, -self.log_diagonal.sum())


class AffineCoupling(Transform):
    """One half of the channels scales and shifts the other (Dinh et al. 2017); starts as the identity.

    `first` says whether the first half is the one that is transformed. At least two channels.
    """

    def __init__(self, features: int, hidden: int, first: bool):
        super().__init__()
        self.first = first
        self.halves = (features // 2, features - features // 2)
        transformed, fixed = self.halves if first else self.halves[::-1]
        last = nn.Linear(hidden, 2 * transformed)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(fixed, hidden), nn.ReLU(), last)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.split(self.halves, dim=1)
        return (a, b) if self.first else (b, a)

    def _join(self, transformed: Tensor, fixed: Tensor) -> Tensor:
        return torch.cat([transformed, fixed] if self.first else [fixed, transformed], dim=1)

    def _scale_and_shift(self, fixed: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.network(fixed).chunk(2, dim=1)
        return LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE), shift

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, d) -> (N, d) and log |det| (N,)."""
        transformed, fixed = self._split(inputs)
        log_scale, shift = self._scale_and_shift(fixed)
        return self._join(transformed * log_scale.exp() + shift, fixed), log_scale.sum(1)

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The inverse of `forward`."""
        transformed, fixed = self._split(inputs)
        log_scale, shift = self._scale_and_shift(fixed)
        return self._join((transformed - shift) * (-log_scale).exp(), fixed), -log_scale.sum(1)


def build_flow(d: int, steps: int, hidden: int, mixing: Mixing) -> CompositeTransform:
    """F_n of Eq 6: `steps` times (ActNorm, mixing, coupling), the halves alternating.

    A flow starts as the identity but for ActNorm (and, with `permutation`, a reordering), so the
    latents of different modalities keep their channels in the same order: the permutations are drawn
    from a fixed seed, the same for every modality.
    """
    permutations = torch.Generator().manual_seed(0)
    transforms: list[Transform] = []
    for step in range(steps):
        transforms.append(ActNorm(d))
        if mixing == "lu":
            transforms.append(LUMixing(d))
        else:
            transforms.append(Permutation(torch.randperm(d, generator=permutations)))
        transforms.append(AffineCoupling(d, hidden, first=step % 2 == 0))
    return CompositeTransform(transforms)


@torch.no_grad()
def initialise(flow: CompositeTransform, rows: Tensor) -> None:
    """Start every ActNorm of a flow, in order, from `rows` (N, d) that may be seen; once and for all."""
    norms = [t for t in flow._transforms if isinstance(t, ActNorm)]
    if not norms or norms[0].initialised or len(rows) < 2:
        return
    for transform in flow._transforms:
        if isinstance(transform, ActNorm):
            transform.initialise(rows)
        rows, _ = transform(rows)


def bits_per_dimension(latents: Tensor, log_determinant: Tensor) -> Tensor:
    """Negative log-likelihood (N,) of rows under a standard normal latent, in bits per channel.

    latents (N, d) and log_determinant (N,) are what a flow returns for the rows.
    """
    d = latents.shape[1]
    nats = 0.5 * latents.square().sum(1) + 0.5 * d * math.log(2 * math.pi) - log_determinant
    return nats / (d * math.log(2))


def _each(rows: Tensor, value: Tensor) -> Tensor:
    return value.expand(len(rows))
