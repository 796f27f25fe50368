"""`anchored`: CM-ARR beside `gaussian`, its closed-form limit, pooled by a weight that validation data choose.

    log p = (1 - w) log p_gaussian + w log p_network + constant

The closed form holds what few utterances can carry; the network adds what is not linear, as far as validation data say
that it does, down to nothing. It is CM-ARR without the first phase, on statistics pooling, its missing latents expected
by a joint Gaussian instead of Eq 7's mean: no reading of the paper, whose method stays what it is in `cmarr`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, cast

import numpy as np
import torch
from pydantic import model_validator
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from cmarr.data.batch import Batch, visibility
from cmarr.declaration import (
    Count,
    CountOrZero,
    NotNegative,
    PositiveShare,
    Probability,
    Section,
    Share,
    setting,
)
from cmarr.layers.pooling import LENGTH, Length
from cmarr.methods.asking import predictions
from cmarr.methods.branches import heads_fit
from cmarr.methods.cmarr import CMARR
from cmarr.methods.gaussian import Gaussian
from cmarr.methods.masked import Masked
from cmarr.methods.protocol import Diagnosed, Idle, Prediction, Recovers
from cmarr.modalities import CONDITIONS
from cmarr.task import Task

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the network that are tried."""

COLDEST, HOTTEST = 0.05, 5.0
"""Between which the factor on the network's logits is looked for."""


class Anchored(nn.Module):
    """A network and `gaussian` on the same batch. Obeys `Method`, `Grounded`, `Concluded`, `Calibrated` and
    `Acquainted`.

    The network is trained, and its epoch chosen, as if it were alone; the closed form is fitted when that is over.
    """

    class Settings(Section):
        """Both parts of `anchored`, and what pools them."""

        network: Literal["cmarr", "masked"] = setting(
            "cmarr", "what stands beside the closed form: cmarr; masked = the fusion network without recovery"
        )
        weight: Literal["auto"] | Share = setting(
            "auto",
            "share of the network, 0 = the closed form alone; auto = the mean of 0, 0.25 ... 1, each as likely as "
            "validation data say over all conditions",
        )
        shrink: PositiveShare = setting(0.5, "as in gaussian")
        d: Count = setting(64, "width of every representation, a multiple of heads")
        length: Length = setting("statistics", LENGTH)
        heads: Count = setting(4, "attention heads, an even number that divides d")
        dropout: Probability = setting(0.3, "in the fusion network")
        alpha: NotNegative = setting(
            0.0, "as at the top, which does not count here; 0 = X from the features, without alignment"
        )
        flow_steps: Count = setting(4, "steps K of each normalizing flow")
        blocks: Count = setting(2, "residual channel-attention blocks in each reconstruction module")
        recovery: Literal["flow", "mean", "zeros"] = setting("flow", "as in cmarr; mean = without flows")
        averaging: Literal["equal", "conditional"] = setting(
            "conditional", "estimate of a missing latent, as in cmarr: equal (Eq 7), conditional"
        )
        draws: CountOrZero = setting(0, "as in cmarr")
        beta: NotNegative = setting(0.1, "weight of the supervised contrast")
        lambda_: NotNegative = setting(10.0, "weight of the error of what is recovered", alias="lambda")

        _heads_fit = model_validator(mode="after")(heads_fit)

        def idle(self) -> Iterator[Idle]:
            """Switches that would do nothing beside the others."""
            if self.network == "masked" and (self.recovery, self.averaging) != ("flow", "conditional"):
                yield Idle("recovery", "network: masked recovers nothing", "flow")

        def built(self, dims: Mapping[str, int], task: Task) -> Masked | CMARR:
            """The network."""
            sizes = {key: getattr(self, key) for key in ("d", "length", "heads", "dropout")}
            if self.network == "masked":
                return Masked(dims, task, Masked.Settings(**sizes))
            own = {
                key: getattr(self, key)
                for key in ("alpha", "flow_steps", "blocks", "beta", "lambda_", "recovery", "draws")
            }
            averaging = "equal" if self.recovery == "zeros" else self.averaging
            return CMARR(
                dims,
                task,
                CMARR.Settings(
                    **sizes,
                    **own,
                    averaging=averaging,
                    flow_input="mu" if self.alpha else "features",
                    zero_start=True,
                    gradient_shares=False,
                ),
            )

    objective = ("beta", "lambda_")
    weight: Tensor
    temperature: Tensor

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.automatic = task, settings.weight == "auto"
        self.network: Masked | CMARR = settings.built(dims, task)
        self.gaussian = Gaussian(dims, task, Gaussian.Settings(shrink=settings.shrink, learn_from="training"))
        share = 1.0 if settings.weight == "auto" else settings.weight
        self.chosen = share  # what the weight becomes when the closed form is there
        self.register_buffer("weight", torch.ones(()))
        self.register_buffer("temperature", torch.ones(()))

    def ground(self, train: Batch) -> None:
        """Told to the network."""
        self.network.ground(train)

    @property
    def hidden_losses(self) -> tuple[str, ...]:
        """The network's."""
        own: tuple[str, ...] = getattr(self.network, "hidden_losses", ())
        return own

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The network's."""
        return self.network.training_losses(batch, targets)

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """What the network wants watched."""
        return self.network.diagnostics(batch) if isinstance(self.network, Diagnosed) else {}

    def conclude(self, train: Batch) -> None:
        """Fit the closed form."""
        self.gaussian.fit(train, torch.Generator())
        self.weight.fill_(self.chosen)

    @torch.no_grad()
    def calibrate(self, validation: Batch) -> dict[str, float]:
        """Choose the factors on both parts' logits, then the weight, by likelihood over all conditions.

        Of a score: the weight alone, by the mean absolute error.
        """
        found = self.gaussian.calibrate(validation)
        masks = {c: visibility(c, len(validation), validation.labels.device) for c in CONDITIONS}
        rows = torch.cat([(validation.available | ~own).all(1) for own in masks.values()])
        parts = [
            torch.cat([own.logits.double() for own in predictions(part, validation, masks).values()])[
                rows
            ].cpu()
            for part in (self.gaussian, self.network)
        ]
        truth = validation.labels.repeat(len(CONDITIONS))[rows].cpu()
        if len(truth):
            if not self.task.regression:
                self.temperature.fill_(sharpness(parts[1], truth))
            if self.automatic:
                self.weight.fill_(self._best_weight(parts[0], parts[1], truth, len(validation)))
        return {
            "gaussian_temperature": found["temperature"],
            "network_temperature": float(self.temperature),
            "weight": float(self.weight),
        }

    def calibrated(self, chosen: Mapping[str, float]) -> None:
        """Take over what `calibrate` of another fit has chosen."""
        self.gaussian.calibrated({"temperature": chosen["gaussian_temperature"]})
        self.temperature.fill_(chosen["network_temperature"])
        self.weight.fill_(chosen["weight"])

    def predict(self, batch: Batch) -> Prediction:
        """The pool of both; what the network recovers, or else what the closed form does."""
        network = self.network.predict(batch)
        if not any(self.gaussian.features.ranks.values()):  # while the network is trained
            return network
        pooled = self._pooled(self.gaussian.predict(batch).logits, network.logits)
        return replace(network, logits=pooled)

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """Of the part that recovers."""
        return cast(Recovers, self.network if isinstance(self.network, Recovers) else self.gaussian).truths(
            batch
        )

    def fused(self, batch: Batch) -> Tensor:
        """The network's vectors."""
        return self.network.fused(batch)

    def unlikeness(self, batch: Batch) -> Tensor:
        """The closed form's."""
        return self.gaussian.unlikeness(batch)

    def _best_weight(self, closed: Tensor, network: Tensor, truth: Tensor, utterances: int) -> float:
        """The mean of `WEIGHTS`, each as often as it is likely: an utterance counts once, not once a condition.

        Of a score errors are Laplace's, whose likelihood is their mean absolute value.
        """

        def loss(share: float) -> float:
            pooled = self._pooled(closed, network, share)
            if self.task.regression:
                return float((pooled[:, 0] - truth).abs().mean().clamp(min=1e-9).log())
            return float(nn.functional.cross_entropy(pooled, truth))

        losses = torch.tensor([loss(share) for share in WEIGHTS], dtype=torch.float64)
        return float((-utterances * losses).softmax(0) @ torch.tensor(WEIGHTS, dtype=torch.float64))

    def _pooled(self, closed: Tensor, network: Tensor, share: float | Tensor | None = None) -> Tensor:
        share = self.weight if share is None else share
        if self.task.regression:
            return (1 - share) * closed + share * network
        sharp = (self.temperature * network).log_softmax(-1)
        return (1 - share) * closed.log_softmax(-1) + share * sharp


def sharpness(logits: Tensor, truth: Tensor) -> float:
    """The factor on logits (N, K) under which the classes `truth` (N,) are likeliest."""

    def loss(exponent: float) -> float:
        return float(nn.functional.cross_entropy(logits * np.exp(exponent), truth))

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


METHOD = Anchored
