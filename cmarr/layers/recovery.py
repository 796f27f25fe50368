"""Recovering what may not be used from what may (section 3.2, Eq 6-8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from cmarr.layers.attention import Reconstruction
from cmarr.layers.flow import ChannelFlow, Mixing, bits_per_dimension
from cmarr.layers.joint_gaussian import JointGaussian
from cmarr.layers.ragged import worked_rows

Through = Literal["flow", "mean", "zeros"]
Averaging = Literal["equal", "precision", "conditional"]


@dataclass(frozen=True)
class Completed:
    """Representations for P visibility patterns of B utterances, M modalities.

    x:         modality -> (P, B, L, d): X_n where usable, X^_n where recovered, zero where neither
    recovered: (P, B, M) bool, the modality was recovered: not usable, and another one is
    """

    x: Mapping[str, Tensor]
    recovered: Tensor


class Recovery(nn.Module):
    """Completes the modalities that may not be used.

    through:   "flow", Eq 6-8: the missing latent is the mean of the usable ones, and the modality's
               inverse flow and reconstruction module turn it into X^_n; "mean": the same without flows,
               on the mean of the usable X_n; "zeros": nothing is recovered.
    averaging: "equal" weights (Eq 7), or by "precision", each modality's mean 1 / sigma^2 per step; "conditional": in
               place of an average, what a joint Gaussian of the latents expects, see `JointGaussian`.
    zero_start: X^_n begins at zero, as if nothing were recovered, and grows from there.
    draws:     of "conditional": how many ways there are to draw a missing latent; training draws anew every time.

    >>> recovery = Recovery(("s", "t"), d=4, flow_steps=2, coupling_hidden=8, mixing="lu", blocks=1)
    >>> x = {m: torch.randn(1, 5, 4) for m in ("s", "t")}
    >>> completed = recovery(x, usable=torch.tensor([[[True, False]]]), precision={})
    >>> completed.recovered.tolist(), completed.x["t"].shape
    ([[[False, True]]], torch.Size([1, 1, 5, 4]))
    """

    noise: Tensor

    def __init__(
        self,
        modalities: tuple[str, ...],
        d: int,
        flow_steps: int,
        coupling_hidden: int,
        mixing: Mixing,
        blocks: int,
        through: Through = "flow",
        averaging: Averaging = "equal",
        zero_start: bool = False,
        draws: int = 0,
    ):
        super().__init__()
        self.modalities = modalities
        self.through = through
        self.averaging = averaging
        self.flows = nn.ModuleDict()
        self.reconstructions = nn.ModuleDict()
        if through == "zeros" or len(modalities) == 1:
            return
        for m in modalities:
            if through == "flow":
                self.flows[m] = ChannelFlow(d, flow_steps, coupling_hidden, mixing)
            self.reconstructions[m] = Reconstruction(d, blocks, zero_start)
        if averaging == "conditional":
            self.joint = JointGaussian(len(modalities), d)
        self.draws = draws
        columns = len(modalities) * d
        noise = torch.randn(
            draws, columns, generator=torch.Generator().manual_seed(0)
        )  # the same for all rows
        self.register_buffer("noise", noise, persistent=False)

    @torch.no_grad()
    def observe(self, x: Mapping[str, Tensor], available: Tensor) -> None:
        """Let the joint Gaussian, where there is one, see a batch: x (B, L, d) a modality, available (B, M).

        How modalities go together can be seen only where both are there: hidden ones count, as targets do.
        """
        if hasattr(self, "joint"):
            self.joint.observe(torch.stack([self.latent(m, x[m]) for m in self.modalities]), available)

    def start(self, x: Mapping[str, Tensor], usable: Tensor) -> None:
        """Start the flows' ActNorm from the usable rows alone; does nothing once that has happened.

        x: modality -> (B, L, d); usable: (B, M). Hidden or absent rows have no part in it.
        """
        for i, m in enumerate(self.modalities):
            if m in self.flows and not self._flow(m).started:
                self._flow(m).initialise(x[m].detach()[usable[:, i]].flatten(0, 1).float())

    def forward(
        self,
        x: Mapping[str, Tensor],
        usable: Tensor,
        precision: Mapping[str, Tensor],
        draw: int | None = None,
    ) -> Completed:
        """Complete every pattern.

        x:         modality -> (B, L, d), read only where some pattern may use it
        usable:    (P, B, M) bool, in the order of `modalities`
        precision: modality -> (B, L, 1), read only for averaging by precision
        draw:      number of the draw in place of the expectation; None: the expectation, and in training a new draw

        The latents Z_n of Eq 6 are computed once for all patterns, and only in rows that need them.
        """
        if not self.reconstructions:
            return Completed(
                {
                    m: torch.where(usable[..., i, None, None], x[m], 0.0)
                    for i, m in enumerate(self.modalities)
                },
                torch.zeros_like(usable),
            )
        recovered = ~usable & usable.any(-1, keepdim=True)  # (P, B, M)
        latents = self._latents(x, usable, recovered)  # (M, B, L, d)
        estimates = self._estimates(latents, usable, precision, draw)  # (M, P, B, L, d)
        completed = {}
        for i, m in enumerate(self.modalities):
            kept = torch.where(usable[..., i, None, None], x[m].float(), 0.0)  # (P, B, L, d)
            rows = worked_rows(recovered[..., i].flatten(), self.training)  # (R,) of the P * B
            if len(rows):
                estimate = self._inverse(m, estimates[i].flatten(0, 1)[rows])  # X~ (R, L, d), Eq 8
                restored = self.reconstructions[m](estimate).to(kept.dtype)  # X^ (R, L, d)
                if len(rows) == recovered[..., i].numel():
                    kept = torch.where(recovered[..., i, None, None], restored.view_as(kept), kept)
                else:
                    kept = kept.flatten(0, 1).index_copy(0, rows, restored).view_as(kept)
            completed[m] = kept
        return Completed(completed, recovered)

    def _latents(self, x: Mapping[str, Tensor], usable: Tensor, recovered: Tensor) -> Tensor:
        needed = usable & recovered.any(-1, keepdim=True)  # (P, B, M): something is recovered from it
        latents = []
        for i, m in enumerate(self.modalities):
            rows = worked_rows(needed[..., i].any(0), self.training)  # (R,) of the B
            empty = torch.zeros_like(x[m], dtype=torch.float32)
            latents.append(empty.index_copy(0, rows, self.latent(m, x[m][rows])))
        return torch.stack(latents)

    def latent(self, modality: str, x: Tensor) -> Tensor:
        """Z_n = F_n(X_n) (Eq 6), step by step: (R, L, d) -> (R, L, d), always in fp32."""
        if modality not in self.flows or not len(x):
            return x.float()
        with torch.autocast(x.device.type, enabled=False):
            z, _ = self._flow(modality)(x.float().flatten(0, 1))
        out: Tensor = z.view_as(x)
        return out

    def _inverse(self, modality: str, z: Tensor) -> Tensor:
        if modality not in self.flows:
            return z
        with torch.autocast(z.device.type, enabled=False):
            x, _ = self._flow(modality).inverse(z.flatten(0, 1))
        return x.view_as(z)

    def _estimates(
        self, latents: Tensor, usable: Tensor, precision: Mapping[str, Tensor], draw: int | None
    ) -> Tensor:
        """Of each modality (M, P, B, L, d), read where it is recovered."""
        if self.averaging == "conditional":
            noise = None if draw is None else self.noise[draw]
            if self.training and self.draws:
                count, rows, length, d = latents.shape
                noise = torch.randn(rows, length, count * d, device=latents.device)
            out: Tensor = self.joint(latents, usable, noise)
            return out
        return self._mean_latents(latents, usable, precision).expand(len(self.modalities), -1, -1, -1, -1)

    def _mean_latents(self, latents: Tensor, usable: Tensor, precision: Mapping[str, Tensor]) -> Tensor:
        weights = usable.float().permute(2, 0, 1)[..., None, None]  # (M, P, B, 1, 1)
        if self.averaging == "precision":
            weights = weights * torch.stack([precision[m] for m in self.modalities])[:, None].float()
        total = weights.sum(0).clamp(min=1e-12)  # (P, B, 1 or L, 1)
        return (weights * latents[:, None]).sum(0) / total  # Eq 7

    def bits_per_dimension(self, modality: str, x: Tensor) -> Tensor:
        """Bits per channel (R * L,) of the representations x (R, L, d) under the modality's flow."""
        with torch.autocast(x.device.type, enabled=False):
            return bits_per_dimension(self._flow(modality), x.float().flatten(0, 1))

    def inverse_error(self, modality: str, x: Tensor) -> Tensor:
        """Largest |F^-1(F(x)) - x| over the representations x (R, L, d)."""
        return (self._inverse(modality, self.latent(modality, x)) - x).abs().amax()

    def _flow(self, modality: str) -> ChannelFlow:
        return cast(ChannelFlow, self.flows[modality])
