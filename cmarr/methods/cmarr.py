"""CM-ARR: cross-modal alignment, reconstruction and refinement (Sun et al. 2024, arXiv 2407.09029).

Read beside the paper: `_encode` is the alignment phase (Eq 1, the losses of Eq 2-5 in
`losses.distribution_contrast`), `layers.recovery` the reconstruction phase (Eq 6-8, the loss of Eq 9 in
`losses.reconstruction`), `losses.supervised_contrast` and `layers.fusion` the refinement phase (section
3.3.1 and Eq 10-13), and `training_losses` adds them up (Eq 14).
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.layers.flow import Mixing
from cmarr.layers.fusion import Blocks, Fusion, Query
from cmarr.layers.recovery import Averaging, Completed, Recovery, Through
from cmarr.layers.representation import Encoded, FlowInput, Representation, stacked_gaussians
from cmarr.losses.distribution_contrast import (
    Contrast,
    Directions,
    DistributionContrast,
    Scale,
    Spread,
    entropy_margin,
)
from cmarr.losses.recognition import counted_mean, recognition_errors, recognition_loss
from cmarr.losses.reconstruction import Reduction, reconstruction_loss
from cmarr.losses.regularisation import CombinationContrast, Direction, UncertaintyWeights
from cmarr.losses.supervised_contrast import sign_classes, supervised_contrast
from cmarr.methods.branches import (
    check_sizes,
    distinct,
    modalities_of,
    recoveries_of,
    usable_in,
    usable_under,
)
from cmarr.methods.diagnostics import alignment_scalars, gradient_rows, gradient_shares, modality_scalars
from cmarr.methods.protocol import Prediction, Stage
from cmarr.task import Task


class CMARR(nn.Module):
    """The whole method; one model serves all conditions. Obeys `cmarr.methods.protocol.Method`."""

    def __init__(
        self,
        dims: Mapping[str, int],
        task: Task,
        *,
        alpha: float = 1.0,
        beta: float = 0.1,
        lambda_: float = 10.0,
        d: int = 128,
        length: int = 50,
        flow_steps: int = 8,
        coupling_hidden: int | None = None,
        mixing: Mixing = "lu",
        blocks: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
        contrast: Contrast = "distribution",
        sigma: Spread = "deviation",
        similarity_scale: Scale = "learned",
        tau: float = 0.07,
        directions: Directions = "sum",
        entropy_weight: float = 0.0,
        entropy_floor: float = 300.0,
        flow_input: FlowInput = "mu",
        resample_first: bool = False,
        normalise: bool = True,
        recovery: Through = "flow",
        averaging: Averaging = "equal",
        reconstruction: Reduction = "mean_squared",
        nll_weight: float = 0.0,
        zero_start: bool = False,
        temperature: float = 0.07,
        same_utterance: bool = False,
        fusion: Blocks = "three_blocks",
        query: Query = "text",
        staged: bool = False,
        gradient_shares: bool = True,
        mcbcl_combination: float = 0.0,
        mcbcl_category: float = 0.0,
        mcbcl_temperature: float = 0.2,
        sugr: Literal["none", "variance", "entropy"] = "none",
        sugr_direction: Direction = "down",
        sugr_warm_up: int = 0,
    ):
        """Build the model; its weights come from torch's global generator, which the caller seeds.

        dims: modality ("s", "v", "t") -> width of its features; one that is absent gets no branch.

        Objective, Eq 14: alpha L_udcl + beta L_spcl + lambda L_rec + L_cls.
        alpha, beta, lambda_: the weights; a loss whose weight is 0 is not computed

        Sizes:
        d:               width of every representation; `heads` must divide it
        length:          steps L to which every modality is resampled
        flow_steps:      steps K of each flow
        coupling_hidden: hidden width of a coupling's network; None: d
        mixing:          the flows' channel mixing, "lu" (learned) or "permutation" (fixed, faster)
        blocks:          residual channel-attention blocks n of a reconstruction module
        heads:           attention heads, an even number (half of UMC's feed sigma)
        dropout:         in the fusion network: after each attention and MLP, and before the classifier

        Alignment, Eq 1-5:
        contrast:         "distribution", or "point": on mu alone (ablation w/ point)
        sigma:            Sigma of Eq 1: "deviation" or "variance"
        similarity_scale: a of Eq 5: "learned" from a start that fits the first batch, or "fixed" -1/200
        tau:              where the learned temperature of Eq 3-4 starts
        directions:       "sum" (Eq 2) or "mean" of the two directions
        entropy_weight, entropy_floor: weight and margin (nats) of a penalty on collapsing sigmas

        Reconstruction, Eq 6-9:
        flow_input:     X_n from "mu" or from the "features" R_n
        resample_first: resample R_n to L before UMC instead of mu_n after it
        normalise:      layer norm on X_n
        recovery:       "flow"; "mean" (ablation w/o flow); "zeros" (nothing is recovered)
        averaging:      of the latents, Eq 7: "equal" or by "precision"
        reconstruction: scale of L_rec: "mean_squared" or the literal "frobenius_sum"
        nll_weight:     weight of the flows' likelihood (bits per channel, X detached)
        zero_start:     X^_n begins at zero, as if nothing were recovered, not at a random image of X~_n

        Refinement:
        temperature:    of the supervised contrast
        same_utterance: let modalities of one utterance contrast with each other
        fusion:         "three_blocks", "two_blocks" (Eq 10-13 to the letter), "pooled" (w/o attention)
        query:          "text", or "recovered": the recovered modality asks

        staged: train in three stages, each adding its phase's losses, instead of jointly; see `stages`
        gradient_shares: have `diagnostics` measure the share of each loss in the gradient

        MCUR's two parts, which CM-ARR has not:
        mcbcl_combination, mcbcl_category: weights of `CombinationContrast` on the fused vector, at
            mcbcl_temperature; its combination of modalities is what may be used, not what was recovered
        sugr, sugr_direction: weigh the recognition loss and that contrast by `UncertaintyWeights`, from the
            epoch after sugr_warm_up on

        Raises UserError for sizes that do not fit together.
        """
        super().__init__()
        check_sizes("cmarr", d=d, heads=heads, length=length)
        self.task = task
        self.modalities = modalities_of(dims)
        self.alpha, self.beta, self.lambda_ = alpha, beta, lambda_
        self.entropy_weight, self.entropy_floor = entropy_weight, entropy_floor
        self.nll_weight = nll_weight
        self.reconstruction = reconstruction
        self.temperature = temperature
        self.same_utterance = same_utterance

        self.representations = nn.ModuleDict(
            {
                m: Representation(dims[m], d, length, heads, flow_input, resample_first, normalise)
                for m in self.modalities
            }
        )
        self.distribution_contrast = DistributionContrast(contrast, sigma, similarity_scale, directions, tau)
        self.recovery = Recovery(
            self.modalities,
            d,
            flow_steps,
            coupling_hidden or d,
            mixing,
            blocks,
            recovery,
            averaging,
            zero_start,
        )
        self.weighs_latents = averaging == "precision" and bool(self.recovery.reconstructions)
        contrasts_sigma = bool(alpha) and contrast == "distribution" and len(self.modalities) > 1
        self.trains_sigma = contrasts_sigma or bool(entropy_weight) or self.weighs_latents
        self.fusion = Fusion(self.modalities, d, heads, dropout, task.outputs, fusion, query)
        self.staged = staged
        self.gradient_shares = gradient_shares
        self.combination_contrast = None
        if mcbcl_combination or mcbcl_category:
            self.combination_contrast = CombinationContrast(
                d,
                combination=mcbcl_combination,
                category=mcbcl_category,
                temperature=mcbcl_temperature,
            )
        self.sugr = None if sugr == "none" else UncertaintyWeights(d, sugr, sugr_direction, task.regression)
        self.sugr_warm_up, self.warm = sugr_warm_up, True

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Note whether SUGR's warm-up is over."""
        self.warm = epoch > self.sugr_warm_up

    def stages(self) -> list[Stage]:
        """One joint stage, as Eq 14 has it; or, `staged`, alignment, reconstruction and refinement in turn.

        The first two take a quarter of the epochs each, and their last epoch: nothing answers yet. One
        whose losses are all switched off is left out.
        """
        if not self.staged or len(self.modalities) == 1:
            return [Stage("joint")]
        align = {"udcl": self.alpha, "entropy": self.entropy_weight}
        recover = {
            "rec": self.lambda_ and len(self.recovery.reconstructions),
            "nll": self.nll_weight and len(self.recovery.flows),
        }
        names: list[str] = []
        found = []
        for phase, weights in (("alignment", align), ("reconstruction", recover)):
            own = [name for name, weight in weights.items() if weight]
            names += own
            if own:
                found.append(Stage(phase, 0.25, tuple(names), selects=False))
        return [*found, Stage("refinement", 1 - 0.25 * len(found))]

    def training_losses(self, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
        """The weighted terms of Eq 14: udcl, spcl, rec, cls (entropy, nll, mcbcl, sugr where switched on).

        A hidden modality is seen by what aligns (udcl, entropy) and as a detached target of L_rec, and by
        nothing else; an absent one by nothing at all.
        """
        available, usable = usable_in(batch, visible, self.modalities)  # (B, M) each
        aligned = bool(self.alpha or self.entropy_weight)
        encoded = self._encode(batch, gaussians=aligned or self.weighs_latents)
        x = {m: encoded[m].x for m in self.modalities}
        if self.training:
            self.recovery.start(x, usable)
        completed = self._complete(encoded, usable[None])
        answerable = usable.any(1)  # (B,)
        masked = available & ~usable & answerable[:, None]  # hidden, and recovered
        restored = {m: completed.x[m][0] for m in self.modalities}  # (B, L, d)

        losses = {}
        if aligned:
            mu, sigma = stacked_gaussians(encoded)  # (M, B, d) each
            if self.alpha:
                if self.training:
                    self.distribution_contrast.start(mu, sigma, available)
                losses["udcl"] = self.alpha * self.distribution_contrast(mu, sigma, available)
            if self.entropy_weight:
                shortfall = entropy_margin(sigma, available, self.entropy_floor)
                losses["entropy"] = self.entropy_weight * shortfall
        if self.beta:
            losses["spcl"] = self.beta * self._supervised_contrast(batch, restored, usable, masked)
        if self.lambda_ and self.recovery.reconstructions:
            losses["rec"] = self.lambda_ * reconstruction_loss(
                torch.stack(list(restored.values())),
                torch.stack(list(x.values())),
                masked.T,
                self.reconstruction,
            )
        if self.nll_weight and self.recovery.flows:
            losses["nll"] = self.nll_weight * self._bits_per_dimension(x, usable)
        h = self.fusion.represent(restored, completed.recovered[0])
        return losses | self._recognition(h, batch, usable)

    def predict(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
        """Answers for each named visibility (B, 3); encoders and latents are shared, no question is answered twice."""
        questions = distinct(usable_under(batch, visible, self.modalities))
        completed = self._complete(self._encode(batch, self.weighs_latents), questions.usable)
        flat = {m: x.flatten(0, 1) for m, x in completed.x.items()}  # (P * B, L, d)
        recovered = completed.recovered.flatten(0, 1)  # (P * B, M)
        logits = questions.answer(
            lambda rows: self.fusion({m: x[rows] for m, x in flat.items()}, recovered[rows])
        )
        return recoveries_of(list(visible), questions, completed.x, completed.recovered, logits)

    def fused(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The fused vectors (B, d) for each named visibility (B, 3)."""
        usable = torch.stack([usable_in(batch, v, self.modalities)[1] for v in visible.values()])
        completed = self._complete(self._encode(batch, self.weighs_latents), usable)
        return {
            name: self.fusion.represent({m: x[p] for m, x in completed.x.items()}, completed.recovered[p])
            for p, name in enumerate(visible)
        }

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """The true X_n, modality -> (B, L, d), zero where it is not available.

        What `Prediction.recovered` of the same batch is to be compared with (Eq 9, Fig 5).
        """
        available = {m: batch.lengths[m] > 0 for m in self.modalities}
        return {m: e.x * available[m][:, None, None] for m, e in self._encode(batch, False).items()}

    def spreads(self, batch: Batch) -> dict[str, Tensor]:
        """UMC's sigma, mean over time and channels: modality -> (B,), rubbish where it is not available (Eq 1).

        Nothing where no loss reaches it: a sigma that nobody trained says nothing.
        """
        if not self.trains_sigma:
            return {}
        _, sigma = stacked_gaussians(self._encode(batch, gaussians=True))
        return dict(zip(self.modalities, sigma.float().mean(2), strict=True))

    @torch.no_grad()
    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars worth watching once an epoch, over what is available in `batch`: those of
        `methods.diagnostics`, the losses' shares of the gradient being taken at the encoders, on a few rows.

        Raises UserError when the inverse of a flow diverges.
        """
        encoded = self._encode(batch, gaussians=True)
        mu, sigma = stacked_gaussians(encoded)  # (M, B, d) each
        x = {m: e.x for m, e in encoded.items()}
        available, _ = usable_in(batch, batch.available, self.modalities)
        watched = modality_scalars(x, sigma, available, self.recovery)
        watched |= alignment_scalars(mu, sigma, available, self.distribution_contrast)
        if self.gradient_shares and len(batch) >= 2:
            with torch.enable_grad():
                losses = self.training_losses(*gradient_rows(batch))
                watched |= gradient_shares(losses, list(self.representations.parameters()))
        return watched

    def _encode(self, batch: Batch, gaussians: bool) -> dict[str, Encoded]:
        return {
            m: self.representations[m](batch.values[m], batch.lengths[m], batch.longest.get(m), gaussians)
            for m in self.modalities
        }

    def _complete(self, encoded: Mapping[str, Encoded], usable: Tensor) -> Completed:
        x = {m: e.x for m, e in encoded.items()}
        precision = {m: e.gaussians.precision for m, e in encoded.items() if e.gaussians is not None}
        return self.recovery(x, usable, precision)

    def _supervised_contrast(
        self, batch: Batch, restored: Mapping[str, Tensor], usable: Tensor, masked: Tensor
    ) -> Tensor:
        size = len(batch)
        labels = sign_classes(batch.labels) if self.task.regression else batch.labels
        takes_part = usable | masked if self.recovery.reconstructions else usable
        return supervised_contrast(
            torch.cat([x.mean(1) for x in restored.values()]),  # (M * B, d)
            labels.repeat(len(self.modalities)),
            torch.arange(size, device=labels.device).repeat(len(self.modalities)),
            takes_part.T.flatten(),
            self.temperature,
            self.same_utterance,
        )

    def _recognition(self, h: Tensor, batch: Batch, usable: Tensor) -> dict[str, Tensor]:
        """cls on the fused vectors h (B, d), and MCUR's mcbcl and sugr where they are switched on."""
        logits, answerable = self.fusion.classify(h), usable.any(1)
        if self.sugr is None and self.combination_contrast is None:
            return {"cls": recognition_loss(logits, batch.labels, answerable, self.task.regression)}
        errors = recognition_errors(logits, batch.labels, self.task.regression)
        losses, weights = dict[str, Tensor](), None
        if self.sugr is not None:
            weights, losses = self.sugr(h, logits, errors, answerable, warm=self.warm)
        if self.combination_contrast is not None:
            labels = sign_classes(batch.labels) if self.task.regression else batch.labels
            rows = torch.arange(len(batch), device=labels.device)
            losses["mcbcl"] = self.combination_contrast(h, labels, usable, rows, weights)
        return {**losses, "cls": counted_mean(errors, answerable, weights)}

    def _bits_per_dimension(self, x: Mapping[str, Tensor], usable: Tensor) -> Tensor:
        bits = [
            self.recovery.bits_per_dimension(m, x[m].detach()[usable[:, i]])
            for i, m in enumerate(self.modalities)
        ]
        every = torch.cat(bits)
        return every.sum() / max(len(every), 1)


METHOD = CMARR
