"""The uncertainty modelling component (UMC): a Gaussian for every step of a sequence."""

import torch.nn.functional as F
from torch import Tensor, nn

from cmarr.layers.attention import attend, feed_forward
from cmarr.layers.ragged import Layout

LOG_SIGMA_RANGE = (-6.0, 3.0)
"""Log sigma is clamped to this range: the floor keeps the distributions from collapsing to points."""


class UncertaintyModelling(nn.Module):
    """R_n -> (mu_n, log sigma_n), the component of section 3.1.2 and Fig 3.

    After the probability-distribution encoder of MAP (Ji et al. 2023): h = LN(GELU(Linear(R))); one
    multi-head self-attention with a bias-free projection, of whose heads one half feeds the mean and the
    other half log sigma; the mean has a residual from h, log sigma has none; each then passes a
    sub-block of layer norm and MLP. There is no dropout: what comes of mu is also the target of L_rec.
    """

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
        # An utterance without frames reads its padding: nobody uses the answer, and it is not NaN.
        readable = layout.mask | (layout.lengths == 0)[:, None]
        read = layout.unpad(attend(query, key, value, self.heads, readable))  # (N, d)
        for_mean, for_log_sigma = read.chunk(2, dim=-1)  # half of the heads each
        mu = h + self.mean(for_mean)
        mu = mu + self.mean_mlp(self.mean_norm(mu))
        log_sigma = self.log_sigma(for_log_sigma)
        log_sigma = log_sigma + self.log_sigma_mlp(self.log_sigma_norm(log_sigma))
        return mu, log_sigma.clamp(*LOG_SIGMA_RANGE)
