"""CM-ARR: cross-modal alignment, reconstruction and refinement (Sun et al. 2024, arXiv 2407.09029).

Read beside the paper: `_encode` is the alignment phase (Eq 1, the losses of Eq 2-5 in
`losses.distribution_contrast`), `layers.recovery` the reconstruction phase (Eq 6-8, the loss of Eq 9 in
`losses.reconstruction`), `losses.supervised_contrast` and `layers.fusion` the refinement phase (section
3.3.1 and Eq 10-13), and `training_losses` adds them up (Eq 14).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import (
    Count,
    CountOrZero,
    Flag,
    NotNegative,
    Number,
    Positive,
    Probability,
    Section,
    setting,
)
from cmarr.layers.flow import Mixing
from cmarr.layers.fusion import Blocks, Fusion, Query
from cmarr.layers.pooling import LENGTH, Length, StatisticsPooling, pooling_of
from cmarr.layers.ragged import worked_rows
from cmarr.layers.recovery import Averaging, Completed, Recovery, Through
from cmarr.layers.representation import Encoded, FlowInput, Representation, stacked_gaussians
from cmarr.losses.distribution_contrast import (
    Contrast,
    Directions,
    DistributionContrast,
    Scale,
    Spread,
    Temperature,
    entropy_margin,
)
from cmarr.losses.reconstruction import Reduction, reconstruction_loss
from cmarr.losses.regularisation import Regularised, regularised_recognition
from cmarr.losses.supervised_contrast import sign_classes, supervised_contrast
from cmarr.methods.branches import averaged, heads_fit, in_parts, modalities_of, usable_in, with_recoveries
from cmarr.methods.diagnostics import watched
from cmarr.methods.protocol import Idle, Prediction, Stage
from cmarr.task import Task


class Published(Section):
    """What CM-ARR as published has, with the choices that the paper leaves open."""

    # the objective: L = alpha * L_udcl + beta * L_spcl + lambda * L_rec + L_cls (Eq 14); weight 0: not computed
    alpha: NotNegative = setting(1.0, "weight of the distribution contrast that aligns the modalities")
    beta: NotNegative = setting(
        0.1,
        "weight of the supervised contrast that refines them (the paper's section 4.2; its 4.5 finds 0.5 best)",
    )
    lambda_: NotNegative = setting(
        10.0, "weight of the error of recovered modalities, the flows' training signal", alias="lambda"
    )

    # sizes
    d: Count = setting(64, "width of every representation, a multiple of heads")
    length: Length = setting(16, LENGTH)
    flow_steps: Count = setting(4, "steps K of each normalizing flow: ActNorm, mixing, coupling")
    blocks: Count = setting(2, "residual channel-attention blocks n in each reconstruction module")
    heads: Count = setting(4, "attention heads, an even number that divides d; half of UMC's feed sigma")
    dropout: Probability = setting(0.1, "in the fusion network")

    # alignment (Eq 1-5)
    contrast: Contrast = setting(
        "distribution", "distribution; point = on the means alone, no sigma (the ablation w/ point)"
    )
    sigma: Spread = setting(
        "deviation",
        "what Sigma of Eq 1 is: deviation, variance (the literal word; the square of the mean deviation)",
    )
    similarity_scale: Scale = setting(
        "learned",
        "a of Eq 5: learned = -exp(.), started so that the first batch's logits spread by 1; fixed = -1/200",
    )
    tau: Temperature = setting(
        0.07,
        "where the learned temperature of Eq 3-4 starts, which never falls below 0.01; with a learned only their ratio "
        "counts",
    )
    directions: Directions = setting(
        "sum", "InfoNCE from one modality to the other and back: sum (Eq 2), mean"
    )
    entropy_weight: NotNegative = setting(0.0, "weight of a penalty on Gaussians that collapse to points")
    entropy_floor: Number = setting(
        300.0,
        "nats of entropy below which that penalty begins. 300 was made for d = 768: deviations of 1 have 1.42 * d "
        "nats, and those of this UMC at most 4.42 * d, less than 300 for d = 64",
    )
    resample_first: Flag = setting(
        False, "true = resample the features to length before alignment, not after: faster, coarser"
    )

    # reconstruction (Eq 6-9)
    flow_input: FlowInput = setting(
        "mu", "what the flows see: mu (the aligned means), features (the encoders' output)"
    )
    normalise: Flag = setting(True, "layer norm on X_n, which keeps the scale of lambda's term; false = none")
    coupling_hidden: Literal["d"] | Count = setting(
        "d", "hidden width of a coupling's network; d = as wide as the representations"
    )
    mixing: Mixing = setting("lu", "channels between couplings: lu (learned), permutation (fixed, faster)")
    recovery: Through = setting(
        "flow", "flow; mean = mean of the available X_n, no flow (w/o flow); zeros = nothing is recovered"
    )
    averaging: Averaging = setting(
        "equal",
        "of the available latents (Eq 7): equal; precision = surer modalities count more; conditional = no average, "
        "but what a joint Gaussian of the latents expects of the missing one",
    )
    draws: CountOrZero = setting(
        0,
        "with averaging: conditional; 0 = the expectation; more = a draw in training, and the mean of the predictions "
        "of so many draws (multiple imputation)",
    )
    reconstruction: Reduction = setting(
        "mean_squared",
        "scale of L_rec (Eq 9): mean_squared; frobenius_sum = the literal norm, grows with length * d",
    )
    zero_start: Flag = setting(
        False,
        "true = what is recovered begins at zero, as if nothing were, and grows from there; false = at a random image "
        "of X~",
    )
    nll_weight: NotNegative = setting(
        0.0, "weight of the flows' likelihood, bits per channel; the paper has none"
    )

    # refinement (section 3.3, Eq 10-13)
    temperature: Positive = setting(0.07, "of the supervised contrast")
    same_utterance: Flag = setting(False, "true = modalities of one utterance contrast with each other too")
    fusion: Blocks = setting(
        "three_blocks",
        "three_blocks (the text's), two_blocks (Eq 10-13 to the letter), pooled (w/o attention)",
    )
    query: Query = setting(
        "text", "what asks in the cross-attention: text; recovered = the recovered modality"
    )
    staged: Flag = setting(
        False,
        "true = a quarter of the epochs on the losses of alignment alone, a quarter with those of reconstruction, and "
        "half on all of them; false = one joint loss throughout",
    )
    gradient_shares: Flag = setting(
        True,
        "true = log once an epoch how the losses share the gradient, for about half a training step; false = save the "
        "time",
    )

    _heads_fit = model_validator(mode="after")(heads_fit)


class CMARR(nn.Module):
    """The whole method; one model serves all conditions. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Regularised, Published):
        """Sizes and switches of CM-ARR."""

        def idle(self) -> Iterator[Idle]:
            """Switches that would do nothing beside the others."""
            no_flow, no_recovery = self.recovery != "flow", self.recovery == "zeros"
            aligns = bool(self.alpha or self.entropy_weight)
            reconstructs = (self.nll_weight and not no_flow) or (self.lambda_ and not no_recovery)
            plain_features = self.flow_input == "features" and self.averaging != "precision" and not aligns
            without_flow = "without recovery: flow there are no flows "
            if self.query == "recovered" and self.fusion == "pooled":
                yield Idle(
                    "query", "with fusion: pooled there is no attention in which anything asks", "text"
                )
            if self.query == "recovered" and no_recovery:
                yield Idle("query", "with recovery: zeros nothing is recovered that could ask", "text")
            if self.averaging != "equal" and no_recovery:
                yield Idle("averaging", "with recovery: zeros no average is taken", "equal")
            if self.draws and self.averaging != "conditional":
                yield Idle("draws", "without averaging: conditional there is nothing to draw from", "0")
            if self.nll_weight > 0 and no_flow:
                yield Idle("nll_weight", without_flow + "with a likelihood", "0.0")
            if self.mixing != "lu" and no_flow:
                yield Idle("mixing", without_flow + "that mix channels", "lu")
            if self.coupling_hidden != "d" and no_flow:
                yield Idle("coupling_hidden", without_flow + "with couplings", "d")
            if self.sigma == "variance" and self.contrast == "point":
                yield Idle("sigma", "with contrast: point no sigma enters the distance", "deviation")
            if self.resample_first and plain_features:
                why = "with flow_input: features and no alignment the features are resampled at once anyway"
                yield Idle("resample_first", why, "false")
            if self.staged and not aligns and not reconstructs:
                why = "neither alignment nor reconstruction has a loss, so there is one stage"
                yield Idle("staged", why, "false")
            yield from (Idle(*own) for own in self.idle_parts())

        def resolved(self) -> dict[str, Any]:
            """The values that are recorded: a hidden width of `d` is the width itself."""
            return self.model_dump() | ({"coupling_hidden": self.d} if self.coupling_hidden == "d" else {})

    objective = ("beta", "alpha", "lambda_")
    parts, published_ablations = {"masked (fusion alone)": "masked"}, "Table 3"

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        """Build the model; its weights come from torch's global generator, which the caller seeds."""
        super().__init__()
        self.task, self.modalities, self.settings = task, modalities_of(dims), settings
        d, heads = settings.d, settings.heads
        self.pooling, dims, length = pooling_of(dims, settings.length)
        self.representations = nn.ModuleDict(
            {
                m: Representation(
                    dims[m],
                    d,
                    length,
                    heads,
                    settings.flow_input,
                    settings.resample_first,
                    settings.normalise,
                )
                for m in self.modalities
            }
        )
        self.distribution_contrast = DistributionContrast(
            settings.contrast, settings.sigma, settings.similarity_scale, settings.directions, settings.tau
        )
        self.recovery = Recovery(
            self.modalities,
            d,
            settings.flow_steps,
            d if settings.coupling_hidden == "d" else settings.coupling_hidden,
            settings.mixing,
            settings.blocks,
            settings.recovery,
            settings.averaging,
            settings.zero_start,
            settings.draws,
        )
        self.fusion = Fusion(
            self.modalities, d, heads, settings.dropout, task.outputs, settings.fusion, settings.query
        )
        self.combination_contrast, self.sugr = settings.parts(
            d, task.regression
        )  # None and None as published

    @property
    def hidden_losses(self) -> tuple[str, ...]:
        """All but recognition's and the flows' own; all, where hidden latents have a part in what is expected."""
        everything = ("udcl", "entropy", "spcl", "rec", "nll", "cls", "mcbcl", "sugr")
        return everything if self.settings.averaging == "conditional" else everything[:4]

    @property
    def weighs_latents(self) -> bool:
        """Whether the latents are averaged by their precision."""
        return self.settings.averaging == "precision" and bool(self.recovery.reconstructions)

    @property
    def trains_sigma(self) -> bool:
        """Whether a loss reaches UMC's sigma."""
        own = self.settings
        contrasted = bool(own.alpha) and own.contrast == "distribution" and len(self.modalities) > 1
        return contrasted or bool(own.entropy_weight) or self.weighs_latents

    def stages(self) -> list[Stage]:
        """One joint stage, as Eq 14 has it; or, `staged`, alignment, reconstruction and refinement in turn.

        The first two take a quarter of the epochs each, and their last epoch: nothing predicts yet. One
        whose losses are all switched off is left out.
        """
        own = self.settings
        if not own.staged or len(self.modalities) == 1:
            return [Stage("joint")]
        align = {"udcl": own.alpha, "entropy": own.entropy_weight}
        recover = {
            "rec": own.lambda_ and len(self.recovery.reconstructions),
            "nll": own.nll_weight and len(self.recovery.flows),
        }
        names: list[str] = []
        found = []
        for phase, weights in (("alignment", align), ("reconstruction", recover)):
            switched_on = [name for name, weight in weights.items() if weight]
            names += switched_on
            if switched_on:
                found.append(Stage(phase, 0.25, tuple(names), selects=False))
        return [*found, Stage("refinement", 1 - 0.25 * len(found))]

    def ground(self, train: Batch) -> None:
        """Standardise what is pooled, where it is."""
        if isinstance(self.pooling, StatisticsPooling):
            self.pooling.fit(train)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Told to SUGR, which warms up."""
        if self.sugr is not None:
            self.sugr.begin_epoch(epoch)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The weighted terms of Eq 14: udcl, spcl, rec, cls (entropy, nll, mcbcl, sugr where switched on).

        A hidden modality is seen by what aligns (udcl, entropy) and as a detached target of L_rec, and by
        nothing else; an absent one by nothing at all.
        """
        own = self.settings
        available = usable_in(targets, self.modalities)  # (B, M)
        usable = usable_in(batch, self.modalities)  # (B, M)
        aligned = bool(own.alpha or own.entropy_weight)
        encoded = self._encode(targets, gaussians=aligned or self.weighs_latents)
        x = {m: encoded[m].x for m in self.modalities}  # (B, L, d) each
        seen = {m: batch.spread(m, own) for m, own in x.items()}  # (B, L, d) each
        if self.training:
            self.recovery.start(seen, usable)
            self.recovery.observe(x, available)
        completed = self._complete(batch, encoded)
        masked = available & ~usable & usable.any(1, keepdim=True)  # hidden, and recovered
        restored = {m: completed.x[m][0] for m in self.modalities}  # (B, L, d)

        losses = self._alignment(encoded, available) if aligned else {}
        if own.beta:
            losses["spcl"] = own.beta * self._supervised_contrast(batch, restored, usable, masked)
        if own.lambda_ and self.recovery.reconstructions:
            found, truth = torch.stack(list(restored.values())), torch.stack(list(x.values()))  # (M, B, L, d)
            losses["rec"] = own.lambda_ * reconstruction_loss(found, truth, masked.T, own.reconstruction)
        if own.nll_weight and self.recovery.flows:
            losses["nll"] = own.nll_weight * self._bits_per_dimension(seen, usable)
        h = self.fusion.represent(restored, completed.recovered[0])  # (B, d)
        return losses | regularised_recognition(
            h,
            self.fusion.classify(h),
            batch.labels,
            usable,
            self.task.regression,
            contrast=self.combination_contrast,
            sugr=self.sugr,
        )

    def predict(self, batch: Batch) -> Prediction:
        """The prediction, and what was recovered for it; of several draws, their mean."""
        encoded = self._encode(batch, self.weighs_latents)
        drawn = [self._predicted(batch, encoded, draw) for draw in range(self.settings.draws)]
        return averaged(drawn, self.task.regression) if drawn else self._predicted(batch, encoded)

    def _predicted(self, batch: Batch, encoded: Mapping[str, Encoded], draw: int | None = None) -> Prediction:
        completed = self._complete(batch, encoded, draw)
        restored, recovered = {m: x[0] for m, x in completed.x.items()}, completed.recovered[0]

        def classify(rows: Tensor) -> Tensor:
            out: Tensor = self.fusion({m: x[rows] for m, x in restored.items()}, recovered[rows])
            return out

        return with_recoveries(in_parts(classify, batch.available), restored, recovered)

    def fused(self, batch: Batch) -> Tensor:
        """The fused vectors (B, d)."""
        return self.fusion.represent(*self._restored(batch))

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

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars worth watching once an epoch: `methods.diagnostics`."""
        return watched(self, batch)

    def _encode(self, batch: Batch, gaussians: bool) -> dict[str, Encoded]:
        batch = self.pooling(batch)
        return {
            m: self.representations[m](batch.values[m], batch.lengths[m], batch.longest.get(m), gaussians)
            for m in self.modalities
        }

    def _complete(self, batch: Batch, encoded: Mapping[str, Encoded], draw: int | None = None) -> Completed:
        """What is there of a batch, its sequences `encoded`, and what is recovered from that; P = 1."""
        x = {m: batch.spread(m, e.x) for m, e in encoded.items()}
        known = {m: e.gaussians.precision for m, e in encoded.items() if e.gaussians is not None}
        precision = {m: batch.spread(m, own) for m, own in known.items()}
        out: Completed = self.recovery(x, usable_in(batch, self.modalities)[None], precision, draw)
        return out

    def _restored(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Modality -> (B, L, d), and (B, M) bool, which were recovered."""
        completed = self._complete(batch, self._encode(batch, self.weighs_latents))
        return {m: x[0] for m, x in completed.x.items()}, completed.recovered[0]

    def _alignment(self, encoded: Mapping[str, Encoded], available: Tensor) -> dict[str, Tensor]:
        """udcl, and entropy where it is switched on, over what is available (B, M)."""
        own = self.settings
        losses: dict[str, Tensor] = {}
        mu, sigma = stacked_gaussians(encoded)  # (M, B, d) each
        if own.alpha:
            if self.training:
                self.distribution_contrast.start(mu, sigma, available)
            losses["udcl"] = own.alpha * self.distribution_contrast(mu, sigma, available)
        if own.entropy_weight:
            losses["entropy"] = own.entropy_weight * entropy_margin(sigma, available, own.entropy_floor)
        return losses

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
            self.settings.temperature,
            self.settings.same_utterance,
        )

    def _bits_per_dimension(self, x: Mapping[str, Tensor], usable: Tensor) -> Tensor:
        total, count = usable.new_zeros((), dtype=torch.float32), usable.new_zeros((), dtype=torch.long)
        for i, m in enumerate(self.modalities):
            rows = worked_rows(usable[:, i], self.training)  # (R,)
            bits = self.recovery.bits_per_dimension(m, x[m].detach()[rows]).view(-1, x[m].shape[1])  # (R, L)
            total = total + torch.where(usable[rows, i, None], bits, 0.0).sum()
            count = count + usable[:, i].sum() * bits.shape[1]
        return total / count.clamp(min=1)


METHOD = CMARR
