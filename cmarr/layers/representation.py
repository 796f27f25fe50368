"""From the ragged features R_n of one modality to its Gaussian and its representation X_n of fixed length."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmarr.layers.attention import attend, feed_forward
from cmarr.layers.ragged import Layout, mean_weights, resampling_weights, worked_rows

LOG_SIGMA_RANGE = (-6.0, 3.0)
"""Log sigma is held in this range: the floor keeps the distributions from collapsing to points."""


class Held(torch.autograd.Function):
    """A clamp that lets through the gradients that lead back into the range.

    `clamp` lets none through outside: what has once left the range would stay there, whatever a loss wants.

    >>> x = torch.tensor([-9.0, 0.0, 9.0], requires_grad=True)
    >>> Held.apply(x, -6.0, 3.0).detach()
    tensor([-6.,  0.,  3.])
    >>> (-Held.apply(x, -6.0, 3.0)).sum().backward()  # a step down the gradient makes all of them larger
    >>> x.grad
    tensor([-1., -1.,  0.])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        """`x` (...) held between `low` and `high`."""
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        """Keep where the input was."""
        x, low, high = inputs
        ctx.save_for_backward(x < low, x > high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient, but where a step against it would lead further out."""
        below, above = ctx.saved_tensors
        outward = (below & (gradient > 0)) | (above & (gradient < 0))
        return gradient.masked_fill(outward, 0.0), None, None


class UncertaintyModelling(nn.Module):
    """R_n -> (mu_n, log sigma_n), the component of section 3.1.2 and Fig 3.

    After the probability-distribution encoder of MAP (Ji et al. 2023): h = LN(GELU(Linear(R))); one
    multi-head self-attention with a bias-free projection, of whose heads one half feeds the mean and the
    other half log sigma; the mean has a residual from h, log sigma has none; each then passes a
    sub-block of layer norm and MLP. There is no dropout: what comes of mu is also the target of L_rec.

    >>> lengths = torch.tensor([2, 3])
    >>> umc = UncertaintyModelling(dim=6, d=8, heads=2)
    >>> mu, log_sigma = umc(torch.randn(5, 6), Layout(lengths, count=5))
    >>> mu.shape, log_sigma.shape
    (torch.Size([5, 8]), torch.Size([5, 8]))
    """

    part = "encoders"

    def __init__(self, dim: int, d: int, heads: int):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dim, d)
        self.norm = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.mean = nn.Linear(d // 2, d)
        self.log_sigma = nn.Linear(d // 2, d)
        self.mean_norm = nn.LayerNorm(d)
        self.mean_mlp = feed_forward(d)
        self.log_sigma_norm = nn.LayerNorm(d)
        self.log_sigma_mlp = feed_forward(d)

    def forward(self, frames: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Ragged frames (N, D) -> mu (N, d) and log sigma (N, d), each step of an utterance seeing all."""
        h = self.norm(F.gelu(self.project(frames)))  # (N, d)
        query, key, value = layout.pad(self.qkv(h)).chunk(3, dim=-1)  # (B, T, d) each
        # An utterance without frames reads its padding: nobody uses what it reads, and it is not NaN.
        readable = layout.mask | (layout.lengths == 0)[:, None]
        read = layout.unpad(attend(query, key, value, self.heads, readable))  # (N, d)
        for_mean, for_log_sigma = read.chunk(2, dim=-1)  # half of the heads each
        mu = h + self.mean(for_mean)
        mu = mu + self.mean_mlp(self.mean_norm(mu))
        log_sigma = self.log_sigma(for_log_sigma)
        log_sigma = log_sigma + self.log_sigma_mlp(self.log_sigma_norm(log_sigma))
        return mu, Held.apply(log_sigma, *LOG_SIGMA_RANGE)  # type: ignore[no-untyped-call]


FlowInput = Literal["mu", "features"]


@dataclass(frozen=True)
class Gaussians:
    """What UMC says of B utterances; rows that are not available hold rubbish.

    mu, sigma: (B, d) means over time of the Gaussians' means and deviations (Eq 1)
    precision: (B, L, 1) mean over channels of 1 / sigma^2, resampled
    """

    mu: Tensor
    sigma: Tensor
    precision: Tensor


@dataclass(frozen=True)
class Encoded:
    """What the encoder of one modality knows of B utterances; rows that are not available hold rubbish.

    x:         (B, L, d) the representation X_n that enters the flow
    gaussians: None where nobody asked for them and X_n does not come from them
    """

    x: Tensor
    gaussians: Gaussians | None


class Representation(nn.Module):
    """UMC (Eq 1), then mask-aware resampling to L steps and a 1-D convolution to X_n (section 3.2).

    flow_input:     what the convolution sees: "mu", the aligned means, or "features", R_n itself
    resample_first: resample R_n before UMC instead of mu_n after it (fewer frames to attend to)
    normalise:      layer norm on X_n, which holds the scale of L_rec fixed while X_n moves

    >>> represent = Representation(dim=6, d=8, length=4, heads=2)
    >>> encoded = represent(torch.randn(5, 6), torch.tensor([2, 3]))
    >>> encoded.x.shape, encoded.gaussians.mu.shape
    (torch.Size([2, 4, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        dim: int,
        d: int,
        length: int,
        heads: int,
        flow_input: FlowInput = "mu",
        resample_first: bool = False,
        normalise: bool = True,
    ):
        super().__init__()
        self.length = length
        self.flow_input = flow_input
        self.resample_first = resample_first
        self.uncertainty = UncertaintyModelling(dim, d, heads)
        self.convolution = nn.Conv1d(d if flow_input == "mu" else dim, d, 3, padding=1)
        self.norm = nn.LayerNorm(d) if normalise else nn.Identity()

    def forward(
        self, frames: Tensor, lengths: Tensor, longest: int | None = None, gaussians: bool = True
    ) -> Encoded:
        """Ragged frames (N, dim) of B utterances with `lengths` (B,), N their sum; `longest` as for `Layout`.

        gaussians: False where nobody reads them: UMC is then left out if X_n does not need it either.
        """
        layout = Layout(lengths, len(frames), longest)
        if self.resample_first:
            frames, layout = self._resample_features(frames, layout)
            lengths = layout.lengths
        to_length = resampling_weights(lengths, layout.longest, self.length)  # (B, L, T)
        found, seen = None, layout.pad(frames) if self.flow_input == "features" else None
        if gaussians or seen is None:
            found, means = self._gaussians(frames, layout, to_length)
            seen = means if seen is None else seen  # (B, T, d or dim)
        x = self.norm(self.convolution((to_length @ seen).transpose(1, 2)).transpose(1, 2))  # (B, L, d)
        return Encoded(x, found)

    def _gaussians(self, frames: Tensor, layout: Layout, to_length: Tensor) -> tuple[Gaussians, Tensor]:
        """The Gaussians, and their means step by step (B, T, d)."""
        mu, log_sigma = self.uncertainty(frames, layout)  # (N, d) each
        over_time = mean_weights(layout.mask)  # (B, 1, T)
        precision = (-2 * log_sigma).exp().mean(-1, keepdim=True)  # (N, 1)
        means = layout.pad(mu)  # (B, T, d)
        found = Gaussians(
            mu=(over_time @ means).squeeze(1),
            sigma=(over_time @ layout.pad(log_sigma.exp())).squeeze(1),
            precision=to_length @ layout.pad(precision),
        )
        return found, means

    def _resample_features(self, frames: Tensor, layout: Layout) -> tuple[Tensor, Layout]:
        weights = resampling_weights(layout.lengths, layout.longest, self.length)
        resampled = weights @ layout.pad(frames)  # (B, L, dim)
        rows = worked_rows(layout.lengths > 0, self.training)
        kept = torch.zeros_like(layout.lengths).index_fill(0, rows, self.length)
        return resampled[rows].flatten(0, 1), Layout(kept, self.length * len(rows), self.length)


class Projection(nn.Module):
    """The plain encoder: R_n resampled to L steps and mapped linearly to d channels.

    >>> Projection(dim=6, d=8, length=4)(torch.randn(5, 6), torch.tensor([2, 3])).shape
    torch.Size([2, 4, 8])
    """

    part = "encoders"

    def __init__(self, dim: int, d: int, length: int):
        super().__init__()
        self.length = length
        self.linear = nn.Linear(dim, d)

    def forward(self, frames: Tensor, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Ragged frames (N, dim) of B utterances with `lengths` (B,) -> (B, L, d); `longest` as for `Layout`."""
        projected = self.linear(frames)  # (N, d)
        layout = Layout(lengths, len(frames), longest)
        return resampling_weights(lengths, layout.longest, self.length) @ layout.pad(projected)


def stacked_gaussians(encoded: Mapping[str, Encoded]) -> tuple[Tensor, Tensor]:
    """mu and sigma (M, B, d) of what was encoded with its Gaussians.

    >>> encoder, lengths = Representation(dim=6, d=8, length=4, heads=2), torch.tensor([2, 3])
    >>> mu, sigma = stacked_gaussians({"s": encoder(torch.randn(5, 6), lengths)})
    >>> mu.shape, sigma.shape
    (torch.Size([1, 2, 8]), torch.Size([1, 2, 8]))
    """
    known = [e.gaussians for e in encoded.values() if e.gaussians is not None]
    return torch.stack([g.mu for g in known]), torch.stack([g.sigma for g in known])
