"""Modality-combination-based and category-based contrast: MCB-CL of MCUR (Zhuang et al. 2026)."""

import torch
from torch import Tensor, nn

from cmarr.losses.supervised_contrast import log_probabilities, mean_over_anchors


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
                    with none of them takes no part
        utterances: (N,) which utterance a view is of
        weights:    (N,) how much each anchor counts; None: all alike
        """
        z = self.project(h)
        valid = usable.any(1)
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
