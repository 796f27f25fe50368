"""Sample-wise uncertainty-guided regularization: SUGR of MCUR (Zhuang et al. 2026)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from cmarr.errors import UserError

Source = Literal["variance", "entropy", "gap"]
Direction = Literal["down", "up"]

LIMITS = (0.2, 5.0)
"""Weights are clipped to this range before they are rescaled to mean 1."""


class UncertaintyWeights(nn.Module):
    """A weight a sample from the uncertainty of its prediction.

    source:    "variance": a log-variance s that is predicted from h and trained by `likelihood`
               "entropy":  entropy of the class probabilities, divided by that of the uniform distribution
               "gap":      how much larger the student's loss is than the teacher's
    direction: uncertain samples count "down" (less, exp(-u)) or "up" (more, exp(u)); the paper's abstract
               says neither

    Raises UserError for the entropy of a score, which has no class probabilities.
    """

    def __init__(self, d: int, source: Source, direction: Direction, regression: bool):
        super().__init__()
        if source == "entropy" and regression:
            raise UserError(
                "sugr: entropy needs class probabilities, which the answer to a regression task has not; "
                "take variance (or gap, with a teacher)"
            )
        self.source, self.direction, self.regression = source, direction, regression
        if source == "variance":
            self.log_variance = nn.Linear(d, 1)
            nn.init.zeros_(self.log_variance.weight)
            nn.init.zeros_(self.log_variance.bias)

    def forward(
        self,
        h: Tensor,
        logits: Tensor,
        errors: Tensor,
        counted: Tensor,
        *,
        gap: Tensor | None = None,
        warm: bool = True,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weights (N,), which are 1 before `warm`, and by name the loss that trains them, if any does.

        h (N, d), logits (N, K), errors (N,) the recognition loss of each sample, counted (N,) bool.
        """
        u = self.uncertainty(h, logits, gap)
        weights = self.weights(u, counted) if warm else torch.ones_like(errors)
        losses = {"sugr": self.likelihood(u, errors, counted)} if self.source == "variance" else {}
        return weights, losses

    def uncertainty(self, h: Tensor, logits: Tensor, gap: Tensor | None = None) -> Tensor:
        """(N,) uncertainty of N samples from h (N, d), logits (N, K) and, for "gap", the gap (N,).

        The log-variance is held between -log 5 and log 5 by a tanh, so that exp(-s) obeys `LIMITS` and s
        never loses its gradient.
        """
        if self.source == "variance":
            return math.log(LIMITS[1]) * torch.tanh(self.log_variance(h.float()).squeeze(1))
        if self.source == "entropy":
            log_p = logits.float().log_softmax(1)
            return -(log_p.exp() * log_p).sum(1) / math.log(logits.shape[1])
        if gap is None:
            raise ValueError("the gap between student and teacher is needed")
        return gap

    def likelihood(self, s: Tensor, errors: Tensor, counted: Tensor) -> Tensor:
        """What trains the log-variance s (N,), mean over `counted` (N,) bool; a scalar.

            classes: exp(-s) CE + s / 2        scores: exp(-s) |y - y^| + s

        The errors (N,) enter detached: they are minimised under the weights, this fits s alone.
        """
        each = (-s).exp() * errors.detach() + (s if self.regression else s / 2)
        return (each * counted).sum() / counted.sum().clamp(min=1)

    def weights(self, uncertainty: Tensor, counted: Tensor) -> Tensor:
        """(N,) detached weights: exp(-u) or exp(u), clipped to `LIMITS`, rescaled to mean 1 over `counted`."""
        sign = -1.0 if self.direction == "down" else 1.0
        clipped = (sign * uncertainty.detach().float()).exp().clamp(*LIMITS)
        mean = (clipped * counted).sum() / counted.sum().clamp(min=1)
        return torch.where(counted, clipped / mean.clamp(min=LIMITS[0]), 1.0)
