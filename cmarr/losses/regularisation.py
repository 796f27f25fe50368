"""The two parts of MCUR (Zhuang et al. 2026): MCB-CL, modality-combination-based and category-based contrast, and SUGR,
sample-wise uncertainty-guided regularization.
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from cmarr.data.labelled import labelled
from cmarr.declaration import CountOrZero, NotNegative, Positive, Section, setting
from cmarr.errors import UserError
from cmarr.losses.recognition import counted_mean, recognition_errors, recognition_loss
from cmarr.losses.supervised_contrast import log_probabilities, mean_over_anchors, sign_classes


class CombinationContrast(nn.Module):
    """Draws together what shares emotion category *and* available modalities, as the abstract says.

        L = w1 SupCon(category and combination) + w2 SupCon(category)

    SupCon is L_out of Khosla et al. (2020) on L2-normalised vectors. The first reading is the paper's
    sentence; a batch holds few such pairs, and the second, by category alone, is what binds the
    combinations to each other. An anchor without a positive contributes nothing.

    combination, category: w1 and w2; a reading whose weight is 0 is not computed
    temperature:   of both
    projection:    width of a two-layer head before the contrast; 0: the vectors themselves
    same_utterance: let two views of one utterance contrast with each other

    >>> contrast = CombinationContrast(d=2, combination=0.1, category=0.1, temperature=0.2)
    >>> h, categories = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1])
    >>> usable = torch.tensor([[True, True], [True, True], [True, False], [True, False]])
    >>> round(contrast(h, categories, usable, torch.arange(4)).item(), 4)  # those of a category are one point
    0.0013
    """

    def __init__(
        self,
        d: int,
        *,
        combination: float,
        category: float,
        temperature: float,
        projection: int = 0,
        same_utterance: bool = True,
    ):
        super().__init__()
        self.combination, self.category = combination, category
        self.temperature, self.same_utterance = temperature, same_utterance
        self.project: nn.Module = nn.Identity()
        if projection:
            self.project = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, projection))

    def forward(
        self,
        h: Tensor,
        categories: Tensor,
        usable: Tensor,
        utterances: Tensor,
        weights: Tensor | None = None,
    ) -> Tensor:
        """The weighted sum, a scalar.

        h:          (N, d), a vector a view
        categories: (N,) int64 emotion of each view; usable: (N, M) bool, its available modalities: a view
                    with none of them, or without a category, takes no part
        utterances: (N,) which utterance a view is of
        weights:    (N,) how much each anchor counts; None: all alike
        """
        z = self.project(h)
        valid = usable.any(1) & labelled(categories)
        powers = 2 ** torch.arange(usable.shape[1], device=usable.device)
        combinations = (usable * powers).sum(1)  # (N,), a number a set of modalities
        log_probability, others = log_probabilities(
            z, utterances, valid, self.temperature, self.same_utterance
        )
        category = others & (categories[:, None] == categories[None, :])
        loss = h.new_zeros((), dtype=torch.float32)
        if self.combination:
            both = category & (combinations[:, None] == combinations[None, :])
            loss = loss + self.combination * mean_over_anchors(log_probability, both, weights)
        if self.category:
            loss = loss + self.category * mean_over_anchors(log_probability, category, weights)
        return loss


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
    warm_up:   epochs in which every weight is 1

    Raises UserError for the entropy of a score, which has no class probabilities.

    >>> weights = UncertaintyWeights(d=2, source="entropy", direction="down", regression=False)
    >>> logits, labels = torch.tensor([[9.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 0])
    >>> errors = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    >>> found, _ = weights(torch.zeros(2, 2), logits, errors, torch.tensor([True, True]))
    >>> found  # the second is as uncertain as can be
    tensor([1.4614, 0.5386])
    """

    def __init__(self, d: int, source: Source, direction: Direction, regression: bool, warm_up: int = 0):
        super().__init__()
        if source == "entropy" and regression:
            raise UserError(
                "sugr: entropy needs class probabilities, which a predicted score has not; "
                "take variance (or gap, with a teacher)"
            )
        self.source, self.direction, self.regression = source, direction, regression
        self.warm_up, self.warm = warm_up, True
        if source == "variance":
            self.log_variance = nn.Linear(d, 1)
            nn.init.zeros_(self.log_variance.weight)
            nn.init.zeros_(self.log_variance.bias)

    def begin_epoch(self, epoch: int) -> None:
        """Note whether the warm-up is over in this epoch, counted from 1."""
        self.warm = epoch > self.warm_up

    def forward(
        self,
        h: Tensor,
        logits: Tensor,
        errors: Tensor,
        counted: Tensor,
        *,
        gap: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weights (N,), which are 1 in the warm-up, and by name the loss that trains them, if any does.

        h (N, d), logits (N, K), errors (N,) the recognition loss of each sample, counted (N,) bool.
        """
        u = self.uncertainty(h, logits, gap)
        weights = self.weights(u, counted) if self.warm else torch.ones_like(errors)
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


class Regularised(Section):
    """Switches for both parts in another method, off unless they are asked for.

    >>> Regularised().parts(d=8, regression=False)
    (None, None)
    """

    mcbcl_combination: NotNegative = setting(
        0.0, "MCB-CL, as in mcur, on the vector that is classified; the combination is what may be used"
    )
    mcbcl_category: NotNegative = setting(0.0, "as in mcur")
    mcbcl_temperature: Positive = setting(0.2, "as in mcur")
    sugr: Literal["none", "variance", "entropy"] = setting(
        "none", "none; variance, entropy as in mcur: weighs the recognition loss and that contrast"
    )
    sugr_direction: Direction = setting("down", "as in mcur")
    sugr_warm_up: CountOrZero = setting(0, "epochs in which all weights are 1")

    def idle_parts(self) -> Iterator[tuple[str, str, str]]:
        """Of SUGR's switches those that would do nothing: the key, why, and what could be typed instead."""
        why = "with sugr: none nothing is weighted"
        if self.sugr == "none" and self.sugr_direction != "down":
            yield "sugr_direction", why, "down"
        if self.sugr == "none" and self.sugr_warm_up > 0:
            yield "sugr_warm_up", why, "0"

    def parts(self, d: int, regression: bool) -> tuple[CombinationContrast | None, UncertaintyWeights | None]:
        """MCB-CL and SUGR for vectors of width d, each None unless it is asked for."""
        contrast = sugr = None
        if self.mcbcl_combination or self.mcbcl_category:
            contrast = CombinationContrast(
                d,
                combination=self.mcbcl_combination,
                category=self.mcbcl_category,
                temperature=self.mcbcl_temperature,
            )
        if self.sugr != "none":
            sugr = UncertaintyWeights(d, self.sugr, self.sugr_direction, regression, self.sugr_warm_up)
        return contrast, sugr


def regularised_recognition(
    h: Tensor,
    logits: Tensor,
    labels: Tensor,
    usable: Tensor,
    regression: bool,
    *,
    contrast: CombinationContrast | None,
    sugr: UncertaintyWeights | None,
) -> dict[str, Tensor]:
    """cls, the recognition loss, and mcbcl and sugr where they are there; SUGR weighs the other two.

    h (B, d) is what the logits (B, K) are read from; labels (B,); usable (B, M) bool. A row with nothing usable, or
    without a label, has no part in any of them.

    >>> h, labels = torch.zeros(2, 8), torch.tensor([0, 3])
    >>> usable = torch.ones(2, 3, dtype=torch.bool)
    >>> regularised_recognition(h, torch.zeros(2, 4), labels, usable, False, contrast=None, sugr=None)
    {'cls': tensor(1.3863)}
    """
    counted = usable.any(1) & labelled(labels)  # (B,)
    if sugr is None and contrast is None:
        return {"cls": recognition_loss(logits, labels, counted, regression)}
    errors = recognition_errors(logits, labels, regression)  # (B,)
    losses: dict[str, Tensor] = {}
    weights = None
    if sugr is not None:
        weights, losses = sugr(h, logits, errors, counted)
    if contrast is not None:
        categories = sign_classes(labels) if regression else labels
        utterances = torch.arange(len(labels), device=labels.device)
        losses["mcbcl"] = contrast(h, categories, usable, utterances, weights)
    return {**losses, "cls": counted_mean(errors, counted, weights)}
