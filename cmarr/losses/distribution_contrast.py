"""Unsupervised distribution-based contrastive learning: L_udcl (Eq 1-5)."""

import math
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

Spread = Literal["deviation", "variance"]
Contrast = Literal["distribution", "point"]
Scale = Literal["learned", "fixed"]
Directions = Literal["sum", "mean"]

FIXED_SCALE = -1 / 200
"""The scale a of MAP (Ji et al. 2023), made for d = 768."""

SMALLEST_TEMPERATURE = 0.01
Temperature = Annotated[float, Field(ge=SMALLEST_TEMPERATURE, strict=True)]
EXCLUDED = -1e30
"""Similarity of a pair that does not exist. Finite, so that a row without any pair gives no NaN gradient."""


class DistributionContrast(nn.Module):
    """InfoNCE between the modalities' Gaussians; the other modality of the same utterance is the positive.

    For modalities n, m and utterances i, k (both with both modalities available):

        D(n_i, m_k) = ||mu_n,i - mu_m,k||^2 + ||Sigma_n,i - Sigma_m,k||^2        (Eq 1)
        S = a D + b, a < 0                                                       (Eq 5)
        L_n2m = - mean_i log (exp(S(n_i, m_i) / tau) / sum_k exp(S(n_i, m_k) / tau))  (Eq 3, 4)
        L_udcl = sum over the pairs {n, m} of L_n2m + L_m2n                      (Eq 2)

    contrast:   "distribution", or "point": the first term of D alone
    sigma:      what Sigma is: the standard "deviation" (as in MAP's code), or its square, the "variance"
    scale:      "learned": a = -exp(.), set by `start` so that S / tau spreads by about 1; "fixed": -1/200
    directions: "sum" (Eq 2) or "mean" of the two directions
    tau:        where the learned temperature starts; it never falls below 0.01
    b:          the shift of Eq 5, which cancels in the softmax

    >>> contrast = DistributionContrast(scale="fixed")
    >>> mu, sigma = torch.tensor([[[0.0], [3.0]], [[1.0], [3.0]]]), torch.ones(2, 2, 1)
    >>> contrast.distances(mu, sigma).tolist()  # Eq 1: of two modalities, for two utterances
    [[[1.0, 9.0], [4.0, 0.0]]]
    >>> contrast(mu, sigma, torch.ones(2, 2, dtype=torch.bool)).shape
    torch.Size([])
    """

    def __init__(
        self,
        contrast: Contrast = "distribution",
        sigma: Spread = "deviation",
        scale: Scale = "learned",
        directions: Directions = "sum",
        tau: float = 0.07,
        b: float = 4.0,
    ):
        super().__init__()
        self.contrast = contrast
        self.sigma = sigma
        self.scale = scale
        self.directions = directions
        self.b = b
        self.tau = nn.Parameter(torch.tensor(tau))
        self.started: Tensor
        self.register_buffer("started", torch.tensor(scale == "fixed"))
        self._seen_started = False
        nn.Module.register_load_state_dict_post_hook(self, _forget)
        self.log_scale = nn.Parameter(torch.tensor(-FIXED_SCALE).log(), requires_grad=scale == "learned")

    @property
    def a(self) -> Tensor:
        """The negative scale of Eq 5."""
        return -self.log_scale.exp()

    def distances(self, mu: Tensor, sigma: Tensor, available: Tensor | None = None) -> Tensor:
        """D of Eq 1 for every two modalities: mu, sigma (M, B, d) -> (pairs, B, B), entry (i, k) D(n_i, m_k).

        available: (B, M) bool, as for `forward`; None: everything.
        """
        points = mu
        if self.contrast == "distribution":
            points = torch.cat([mu, sigma if self.sigma == "deviation" else sigma.square()], dim=-1)
        # The squares are expanded, and of large numbers nothing would be left of small distances; D knows no origin.
        points = points - _centre(points.detach(), available)
        n, m = _pairs(len(mu), mu.device)
        squares = points.square().sum(-1)  # (M, B)
        products = points[n] @ points[m].transpose(1, 2)  # (pairs, B, B)
        return (squares[n][:, :, None] + squares[m][:, None, :] - 2 * products).clamp(min=0.0)

    @torch.no_grad()
    def start(self, mu: Tensor, sigma: Tensor, available: Tensor) -> None:
        """Set the learned scale from the first batch in which two modalities share two utterances or more.

        a = -tau / deviation of D over the batch's pairs, so that S / tau starts with deviation 1 whatever
        d and the sequences' lengths. Arguments as for `forward`. Does nothing once that has happened.
        """
        # Read from the device until it has happened, and not again.
        self._seen_started = self._seen_started or bool(self.started)
        if self._seen_started:
            return
        valid = _valid(available)  # (pairs, B)
        enough = valid & (valid.sum(1, keepdim=True) >= 2)
        with torch.autocast(mu.device.type, enabled=False):
            distances = self.distances(mu.float(), sigma.float(), available)
            spread = distances[enough[:, :, None] & enough[:, None, :]]
        if len(spread) and float(spread.std(correction=0)) > 0:
            self.log_scale.copy_((self.tau / spread.std(correction=0)).log())
            self.started.fill_(True)
            self._seen_started = True

    def similarities(self, mu: Tensor, sigma: Tensor, available: Tensor | None = None) -> Tensor:
        """S / tau (pairs, B, B), the logits of Eq 3 and 4; arguments as for `distances`."""
        tau = self.tau.clamp(min=SMALLEST_TEMPERATURE)  # a step may have gone below since `forward` held it
        return (self.a * self.distances(mu, sigma, available) + self.b) / tau

    def forward(self, mu: Tensor, sigma: Tensor, available: Tensor) -> Tensor:
        """L_udcl, a scalar.

        mu, sigma: (M, B, d) means over time; available: (B, M) bool, the modality exists, hidden or not.
        Utterances that lack one of two modalities are neither positives nor negatives of that pair;
        a pair that fewer than two utterances have contributes nothing.
        """
        if self.training:
            with torch.no_grad():
                self.tau.clamp_(min=SMALLEST_TEMPERATURE)
        with torch.autocast(mu.device.type, enabled=False):
            logits = self.similarities(mu.float(), sigma.float(), available)
            valid = _valid(available)
            loss = _cross_entropy(logits, valid) + _cross_entropy(logits.transpose(1, 2), valid)
        return loss if self.directions == "sum" else loss / 2


def entropy_margin(sigma: Tensor, available: Tensor, margin: float) -> Tensor:
    """How far the Gaussians' entropy falls short of `margin` nats, averaged over what is available.

    max(0, margin - h), h = sum over channels of log sigma + log(2 pi e) / 2: a guard against the collapse
    of sigma (MAP uses margin 300 with d = 768). sigma (M, B, d), available (B, M) -> scalar.

    >>> sigma = torch.ones(1, 2, 10)  # 10 channels of deviation 1 have 14.19 nats
    >>> round(float(entropy_margin(sigma, torch.ones(2, 1, dtype=torch.bool), margin=15.0)), 2)
    0.81
    """
    sigma = torch.where(
        available.T[..., None], sigma.float(), 1.0
    )  # absent: sigma 0, of which there is no log
    entropy = (sigma.log() + 0.5 * (1 + math.log(2 * math.pi))).sum(-1)  # (M, B)
    short = (margin - entropy).clamp(min=0.0) * available.T
    return short.sum() / available.sum().clamp(min=1)


def retrieval(similarities: Tensor) -> Tensor:
    """Share of utterances whose one modality finds the other, nearest among all of a batch.

    similarities (pairs, B, B), rows and columns the same utterances in the same order; both directions are
    asked. A scalar; guessing finds 1 / B.

    >>> retrieval(torch.tensor([[[9.0, 0.0], [0.0, 9.0]]])).item()
    1.0
    """
    own = torch.arange(similarities.shape[1], device=similarities.device)
    found = [(similarities.argmax(axis) == own).float().mean() for axis in (1, 2)]
    return torch.stack(found).mean()


def _forget(contrast: nn.Module, keys: object) -> None:
    """After other weights were loaded, their own `started` counts."""
    cast(DistributionContrast, contrast)._seen_started = False


def _pairs(modalities: int, device: torch.device) -> tuple[Tensor, Tensor]:
    first, second = torch.triu_indices(modalities, modalities, offset=1, device=device)
    return first, second


def _centre(points: Tensor, available: Tensor | None) -> Tensor:
    """Mean (d,) of the points (M, B, d) that are available (B, M)."""
    if available is None:
        return points.mean((0, 1))
    there = available.T[..., None]  # (M, B, 1)
    return torch.where(there, points, 0.0).sum((0, 1)) / there.sum().clamp(min=1)


def _valid(available: Tensor) -> Tensor:
    n, m = _pairs(available.shape[1], available.device)
    return (available[:, n] & available[:, m]).T  # (pairs, B)


def _cross_entropy(logits: Tensor, valid: Tensor) -> Tensor:
    logits = logits.masked_fill(~valid[:, None, :], EXCLUDED)
    negative = -logits.log_softmax(-1).diagonal(dim1=1, dim2=2)  # (pairs, B)
    # where, not a product: an excluded row's own entry is huge.
    negative = torch.where(valid, negative, 0.0)
    return (negative.sum(1) / valid.sum(1).clamp(min=1)).sum()
