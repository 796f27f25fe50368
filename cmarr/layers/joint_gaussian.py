"""One joint Gaussian of the modalities' latents: what a missing one is expected to be, given those that are usable."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class JointGaussian(nn.Module):
    """Running moments of M latents of d channels, and the conditional expectation under them.

        E[z_m | z_A] = mu_m + S_mA S_AA^-1 (z_A - mu_A),  S = (1 - shrink) C + shrink t I,  t = trace(C) / (M d)

    Eq 7's mean is the estimate for latents that are equal up to noise; this one is right however they are correlated,
    and goes back to the mean of all utterances where they are not. Moments are those of single steps,
    moved a little with every batch; residuals are zeros where a modality is absent, each column over its own count,
    which keeps C from having negative eigenvalues (see `cmarr.methods.gaussian`).

    shrink:   share of C that is replaced by a multiple of the identity
    momentum: share of the moments that a batch replaces

    >>> joint = JointGaussian(modalities=2, d=1, shrink=0.01)
    >>> z = torch.randn(500, generator=torch.Generator().manual_seed(0))
    >>> joint.observe(torch.stack([z, -z])[..., None, None], torch.ones(500, 2, dtype=torch.bool))
    >>> seen = torch.tensor([[[True, False]]])
    >>> joint(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), seen).flatten().round(decimals=1).tolist()
    [1.0, -1.0]
    """

    mean: Tensor
    scatter: Tensor
    batches: Tensor

    def __init__(self, modalities: int, d: int, shrink: float = 0.3, momentum: float = 0.1):
        super().__init__()
        self.d, self.shrink, self.momentum = d, shrink, momentum
        columns = modalities * d
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scatter", torch.eye(columns))
        self.register_buffer("batches", torch.zeros(()))

    @torch.no_grad()
    def observe(self, latents: Tensor, there: Tensor) -> None:
        """Move the moments towards those of a batch: latents (M, B, L, d), and where they exist, (B, M) bool.

        The first batches count as one mean, so that the start is forgotten at once.
        """
        z, known = self._columns(latents.float()), self._known(there, latents.shape[2])  # (B, L, M d) each
        count = known.sum((0, 1))  # (M d,)
        z = torch.where(known, z, 0.0)
        self.batches += 1
        share = (1 / self.batches).clamp(min=self.momentum)
        moved = torch.lerp(self.mean, z.sum((0, 1)) / count.clamp(min=1), share)
        self.mean.copy_(torch.where(count > 0, moved, self.mean))
        residuals = torch.where(known, z - self.mean, 0.0) / count.clamp(min=1).sqrt()
        flat = residuals.flatten(0, 1)  # (B * L, M d)
        both = (count > 0)[:, None] & (count > 0)
        with torch.autocast(flat.device.type, enabled=False):
            scatter = flat.T @ flat
        self.scatter.copy_(torch.where(both, torch.lerp(self.scatter, scatter, share), self.scatter))

    def forward(self, latents: Tensor, usable: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents (M, B, L, d), read where `usable` (P, B, M) -> their expectations (M, P, B, L, d).

        What is usable is its own expectation; where nothing is, all are the mean. The moments get no gradient.
        noise: (..., M d), standard normal, as (B, L, M d) or what spreads over it: a draw in place of the expectation.
        """
        with torch.autocast(latents.device.type, enabled=False):
            return self._expected(latents, usable, noise)

    def _expected(self, latents: Tensor, usable: Tensor, noise: Tensor | None) -> Tensor:
        patterns, _, count = usable.shape
        z = self._columns(latents.float())  # (B, L, M d)
        code = (usable * 2 ** torch.arange(count, device=usable.device)).sum(-1)  # (P, B)
        expected = self.mean.expand(patterns, *z.shape)
        for pattern in range(1, 2**count):
            own = self._of([m for m in range(count) if pattern >> m & 1])  # (R_A,)
            gain = self._gain(own)  # (R_A, M d)
            guess = self.mean + (z[..., own] - self.mean[own]) @ gain  # (B, L, M d)
            if noise is not None and (hidden := [m for m in range(count) if not pattern >> m & 1]):
                guess = guess + noise @ self._spread(own, gain, self._of(hidden))
            expected = torch.where((code == pattern)[..., None, None], guess, expected)
        apart: Tensor = expected.unflatten(-1, (count, self.d))  # (P, B, L, M, d)
        return apart.permute(3, 0, 1, 2, 4)

    def _gain(self, own: Tensor) -> Tensor:
        """S_AA^-1 S_A. (R_A, M d); of a usable column itself the identity, up to rounding."""
        covariance = self.covariance
        gain: Tensor = torch.cholesky_solve(covariance[own], _factor(covariance[own][:, own]))
        return gain

    def _spread(self, own: Tensor, gain: Tensor, hidden: Tensor) -> Tensor:
        """R (M d, M d), a root of what S leaves open of the `hidden` columns: R^T R is S - S_.A S_AA^-1 S_A."""
        left = (self.covariance - self.covariance[:, own] @ gain)[hidden][:, hidden]
        root = torch.zeros_like(self.scatter)
        root[hidden[:, None], hidden] = _factor((left + left.T) / 2).T
        return root

    def _of(self, modalities: Sequence[int]) -> Tensor:
        """The columns of some modalities."""
        apart = torch.arange(len(self.scatter), device=self.scatter.device).split(self.d)
        return torch.cat([apart[m] for m in modalities])

    @property
    def covariance(self) -> Tensor:
        """S (M d, M d), shrunk."""
        even = self.scatter.diagonal().mean().clamp(min=1e-6)
        identity = torch.eye(len(self.scatter), device=self.scatter.device)
        return (1 - self.shrink) * self.scatter + self.shrink * even * identity

    def _columns(self, latents: Tensor) -> Tensor:
        return latents.permute(1, 2, 0, 3).flatten(2)  # (B, L, M d)

    def _known(self, there: Tensor, length: int) -> Tensor:
        return there.repeat_interleave(self.d, 1)[:, None].expand(-1, length, -1)  # (B, L, M d)


def _factor(covariance: Tensor) -> Tensor:
    """The Cholesky factor of a shrunk covariance, which has one: to be told of a failure is to wait for the device."""
    factor: Tensor = torch.linalg.cholesky_ex(covariance).L
    return factor
