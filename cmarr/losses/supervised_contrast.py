"""Supervised point-based contrastive learning: L_spcl (section 3.3.1)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cmarr.data.labelled import UNLABELLED, labelled

ScoreClasses = Literal["sign", "rounded"]

EXCLUDED = -1e30

SHORTEST = 0.01
"""Length below which a vector stays shorter than 1; those of layer-normed channels are of 1 and more."""


def supervised_contrast(
    vectors: Tensor,
    labels: Tensor,
    utterances: Tensor,
    valid: Tensor,
    temperature: float = 0.07,
    same_utterance: bool = False,
    weights: Tensor | None = None,
) -> Tensor:
    """L_out of Khosla et al. (2020) over the modality vectors of a batch.

        L = mean_i -1/|P(i)| sum_{p in P(i)} log (exp(z_i z_p / T) / sum_{a in A(i)} exp(z_i z_a / T))

    A(i): every other valid vector of a *different utterance*, whatever its modality; P(i): those of A(i)
    with the label of i. The mean is over the anchors that have a positive; without any the loss is 0.

    vectors:    (N, d), divided here by their length, see `directions`
    labels:     (N,) classes; utterances: (N,) which utterance a vector belongs to
    valid:      (N,) bool, the vector exists; others take no part, nor do those without a label
    same_utterance: let vectors of the same utterance into A(i), and so into P(i)
    weights:    (N,) what each anchor's term is multiplied by; None: nothing

    >>> vectors, labels = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1])
    >>> everything = torch.ones(4, dtype=torch.bool)
    >>> supervised_contrast(vectors, labels, torch.arange(4), everything, temperature=1.0)  # log(1 + 2 / e)
    tensor(0.5514)
    """
    with torch.autocast(vectors.device.type, enabled=False):
        valid = valid & labelled(labels)
        log_probability, others = log_probabilities(vectors, utterances, valid, temperature, same_utterance)
        return mean_over_anchors(log_probability, others & (labels[:, None] == labels[None, :]), weights)


def directions(vectors: Tensor) -> Tensor:
    """Vectors (N, d) divided by their length, or by `SHORTEST` where they are shorter: of next to nothing a direction
    would be noise, and its gradient without bounds. What is recovered from a start at zero begins there.

    >>> vectors = torch.zeros(1, 2, requires_grad=True)
    >>> directions(vectors).sum().backward()
    >>> vectors.grad
    tensor([[100., 100.]])
    """
    return F.normalize(vectors, dim=-1, eps=SHORTEST)


def log_probabilities(
    vectors: Tensor, utterances: Tensor, valid: Tensor, temperature: float, same_utterance: bool
) -> tuple[Tensor, Tensor]:
    """log (exp(z_i z_p / T) / sum_{a in A(i)} exp(z_i z_a / T)) for every i, p, and who is in A(i); both (N, N).

    Labels do not enter: contrasts of the same vectors by several kinds of labels share it. Arguments as above.

    >>> everything = torch.ones(3, dtype=torch.bool)
    >>> found, others = log_probabilities(torch.eye(3), torch.arange(3), everything, 1.0, False)
    >>> others.sum().item(), found[0, 1].exp().item()
    (6, 0.5)
    """
    with torch.autocast(vectors.device.type, enabled=False):
        z = directions(vectors.float())
        similarity = z @ z.T / temperature  # (N, N)
        others = valid[:, None] & valid[None, :]
        if same_utterance:
            others = others & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        else:
            others = others & (utterances[:, None] != utterances[None, :])
        return similarity - similarity.masked_fill(~others, EXCLUDED).logsumexp(1, keepdim=True), others


def mean_over_anchors(log_probability: Tensor, positives: Tensor, weights: Tensor | None = None) -> Tensor:
    """L_out from `log_probabilities` (N, N), positives (N, N) bool and the anchors' weights (N,); a scalar.

    >>> mean_over_anchors(torch.full((2, 2), -1.5), torch.tensor([[False, True], [False, False]]))
    tensor(1.5000)
    """
    count = positives.sum(1)
    mean = -torch.where(positives, log_probability, 0.0).sum(1) / count.clamp(min=1)
    if weights is not None:
        mean = mean * weights
    return mean.sum() / (count > 0).sum().clamp(min=1)


def sign_classes(scores: Tensor) -> Tensor:
    """Classes for the contrast in a regression corpus: negative 0, zero 1, positive 2. (B,) -> (B,) int64.

    No score, no class: -1.

    >>> sign_classes(torch.tensor([-1.2, 0.0, 3.0, torch.nan]))
    tensor([ 0,  1,  2, -1])
    """
    return torch.where(labelled(scores), scores.nan_to_num().sign().long() + 1, UNLABELLED)


def score_classes(scores: Tensor, rule: ScoreClasses) -> Tensor:
    """Classes for the contrast: `sign_classes`, or "rounded": to whole numbers in [-3, 3], as 0 to 6.

    >>> score_classes(torch.tensor([-9.0, 0.4, 2.6]), "rounded")
    tensor([0, 3, 6])
    """
    if rule == "sign":
        return sign_classes(scores)
    return torch.where(labelled(scores), scores.nan_to_num().clamp(-3, 3).round().long() + 3, UNLABELLED)
