"""What is worth watching while CM-ARR trains, as scalars; and the word when the inverse of a flow diverges."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.errors import UserError
from cmarr.layers.recovery import Recovery
from cmarr.layers.representation import stacked_gaussians
from cmarr.losses.distribution_contrast import DistributionContrast, retrieval
from cmarr.methods.asking import training_losses
from cmarr.methods.branches import usable_in
from cmarr.modalities import INCOMPLETE, NAMES, visible

if TYPE_CHECKING:
    from cmarr.methods.cmarr import CMARR

INVERSE_LIMIT = 1e-2
"""An inverse of a flow that is off by more than this share of the largest value counts as diverged."""

GRADIENT_ROWS = 8
"""Utterances on which the losses' shares of the gradient are measured; they cost as much as a training step."""


@torch.no_grad()
def watched(method: "CMARR", batch: Batch) -> dict[str, Tensor]:
    """Scalars worth watching once an epoch, over what is available in `batch`: those of `modality_scalars`, of
    `alignment_scalars` and, on a few rows, of `gradient_shares`, taken at the encoders.

    Raises UserError when the inverse of a flow diverges.
    """
    encoded = method._encode(batch, gaussians=True)
    mu, sigma = stacked_gaussians(encoded)  # (M, B, d) each
    x = {m: e.x for m, e in encoded.items()}
    available = usable_in(batch, method.modalities)
    found = modality_scalars(x, sigma, available, method.recovery)
    found |= alignment_scalars(mu, sigma, available, method.distribution_contrast)
    if method.settings.gradient_shares and len(batch) >= 2:
        with torch.enable_grad():
            losses = training_losses(method, *gradient_rows(batch))
            found |= gradient_shares(losses, list(method.representations.parameters()))
    return found


def modality_scalars(
    x: Mapping[str, Tensor], sigma: Tensor, available: Tensor, recovery: Recovery
) -> dict[str, Tensor]:
    """Of each modality that somebody has, over what is available:

    sigma/<m>:         mean deviation of UMC's Gaussians, which must not collapse
    deviation/<m>:     standard deviation of X_n, the scale that L_rec is measured in
    bits/<m>, inverse_error/<m>: of its flow: bits per channel, and the largest |F^-1(F(x)) - x|

    x: modality -> (B, L, d); sigma (M, B, d) and available (B, M) in its order.
    Raises UserError when the inverse of a flow diverges: what it recovers would be noise.
    """
    watched = {}
    for i, (m, own) in enumerate(x.items()):
        present = available[:, i]
        if not present.any():
            continue
        rows = own[present].float()
        watched[f"sigma/{m}"] = sigma[i][present].mean()
        watched[f"deviation/{m}"] = rows.std(correction=0)
        if m in recovery.flows:
            watched[f"bits/{m}"] = recovery.bits_per_dimension(m, rows).mean()
            error = recovery.inverse_error(m, rows)
            if not error <= INVERSE_LIMIT * rows.abs().amax().clamp(min=1.0):  # NaN is not, either
                raise UserError(
                    f"the inverse of the flow of {NAMES[m]} diverges: F^-1(F(x)) is off by {float(error):.2g} "
                    "on validation data; lower train.lr, or method.cmarr.flow_steps"
                )
            watched[f"inverse_error/{m}"] = error
    return watched


def alignment_scalars(
    mu: Tensor, sigma: Tensor, available: Tensor, contrast: DistributionContrast
) -> dict[str, Tensor]:
    """Of the utterances that have every modality, where two or more do:

    similarity_spread: standard deviation of the logits S / tau of the distribution contrast
    retrieval:         share of utterances whose other modality is nearest among all of them (Eq 1)

    mu, sigma (M, B, d); available (B, M).
    """
    complete = available.all(1)
    if complete.sum() < 2 or len(mu) < 2:
        return {}
    similarities = contrast.similarities(mu[:, complete].float(), sigma[:, complete].float())
    return {"similarity_spread": similarities.std(), "retrieval": retrieval(similarities)}


def gradient_shares(losses: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """gradient/<loss>: the norm of each weighted loss' gradient in the parameters, as a share of the norms' sum."""
    norms = {}
    for name, loss in losses.items():
        reached = loss.requires_grad and torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True
        )
        parts = [g.norm() for g in reached or () if g is not None]
        norms[name] = torch.stack(parts).norm() if parts else loss.detach() * 0
    total = torch.stack(list(norms.values())).sum().clamp(min=1e-12)
    return {f"gradient/{name}": norm / total for name, norm in norms.items()}


def gradient_rows(batch: Batch) -> tuple[Batch, Tensor]:
    """The first utterances of a batch, and one incomplete condition after another to see them under, (B', 3)."""
    values = {m: v[: int(batch.lengths[m][:GRADIENT_ROWS].sum())] for m, v in batch.values.items()}
    lengths = {m: n[:GRADIENT_ROWS] for m, n in batch.lengths.items()}
    few = Batch(values, lengths, batch.available[:GRADIENT_ROWS], batch.labels[:GRADIENT_ROWS])
    seen = torch.tensor([visible(INCOMPLETE[i % len(INCOMPLETE)]) for i in range(len(few))])
    return few, seen.to(batch.available.device)
