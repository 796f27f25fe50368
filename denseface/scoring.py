"""What a Denseface says of the faces of FER+, and how that is scored: while it is trained, and for the model card."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score
from torch.nn.functional import cross_entropy, log_softmax

from cmarr.encoders.face_network import EMOTIONS, SIDE, Denseface, faces_at_once
from denseface.augment import plain
from denseface.ferplus import FaceSet, distribution, has_majority, is_face, is_tied, label


@torch.inference_mode()
def log_probabilities(
    network: Denseface,
    faces: FaceSet,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    side: int = SIDE,
    mirrored: bool = False,
) -> torch.Tensor:
    """(N, 8) float32 on the CPU: what the network, in evaluation mode, answers to the faces, `side` pixels high.

    `mirrored`: to their mirror images instead.
    """
    found = []
    for images in torch.split(torch.from_numpy(faces.images), faces_at_once(device)):
        images = images.flip(-1) if mirrored else images
        ready = plain(images, side).to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
            _, logits = network(ready)
        found.append(log_softmax(logits.float(), 1).cpu())
    return torch.cat(found)


def both_ways(seen: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Log of the mean probabilities (N, 8), of the log probabilities of faces and of their mirror images."""
    return torch.logaddexp(seen, mirrored) - math.log(2)


def selection(accuracy: float, uar: float) -> float:
    """What the best epoch is chosen by, on validation faces."""
    return (accuracy + uar) / 2


def validation_scores(answers: torch.Tensor, faces: FaceSet) -> dict[str, float]:
    """Accuracy, UAR and their mean `selection` as fractions; `cross_entropy` to the votes in nats.

    Answers (N, 8) are log probabilities.
    """
    truth, given = label(faces.votes), answers.argmax(1).numpy()
    accuracy = float(accuracy_score(truth, given))
    uar = float(recall_score(truth, given, labels=sorted(set(truth)), average="macro", zero_division=0))
    return {
        "accuracy": accuracy,
        "UAR": uar,
        "selection": selection(accuracy, uar),
        "cross_entropy": float(cross_entropy(answers, torch.from_numpy(distribution(faces.votes)))),
    }


STRENGTHS = tuple(round(0.05 * step, 2) for step in range(21))
"""What is tried: from 0, the answers as they are, to 1, as if all emotions were equally frequent."""


def class_shares(faces: FaceSet) -> NDArray[Any]:
    """(8,) how often each emotion is the label; an emotion that never is counts as one face."""
    counted = np.bincount(label(faces.votes), minlength=len(EMOTIONS)).clip(min=1)
    shares: NDArray[Any] = counted / counted.sum()
    return shares


def balanced(answers: NDArray[Any], shares: NDArray[Any], strength: float) -> NDArray[Any]:
    """Log probabilities (N, 8) -> log scores (N, 8) with the shares taken out (logit adjustment, Menon et al. 2021)."""
    scores: NDArray[Any] = answers - strength * np.log(shares)
    return scores


def best_strength(answers: NDArray[Any], faces: FaceSet, shares: NDArray[Any]) -> float:
    """The strength with the highest mean of accuracy and UAR on these (validation) faces, the weakest on ties."""
    truth = label(faces.votes)
    rows = [truth == emotion for emotion in np.unique(truth)]

    def worth(strength: float) -> float:
        right = balanced(answers, shares, strength).argmax(1) == truth
        return float(right.mean() + np.mean([right[chosen].mean() for chosen in rows]))

    return max(STRENGTHS, key=lambda strength: (round(worth(strength), 9), -strength))


RESAMPLES = 2000
"""Draws of faces behind an interval of 95 %."""

BINS = 15
"""Of confidence, equally wide, for the calibration error (Guo et al. 2017)."""

SUBSETS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "all": is_face,
    "untied": lambda votes: is_face(votes) & ~is_tied(votes),
    "majority": has_majority,
}
"""Which faces: all that nobody takes for no face; of these, those with one most frequent emotion; Barsoum's majority
subset, in which a lone vote against a face does not count."""


def part_scores(
    answers: NDArray[Any], faces: FaceSet, shares: NDArray[Any], strength: float
) -> dict[str, Any]:
    """Everything the model card tells about a part, as plain values; fractions, not percent.

    Args:
        answers: (N, 8) log probabilities.
        faces: the part as it was read, whatever the votes.
        shares, strength: of the emotions in the training faces, and how much of them is taken out in the answers
            called `balanced`.
    """
    truth, real = label(faces.votes), is_face(faces.votes)
    found: dict[str, Any] = {"faces": int(real.sum())}
    for name, given in (
        ("plain", answers.argmax(1)),
        ("balanced", balanced(answers, shares, strength).argmax(1)),
    ):
        found[name] = {
            subset: _subset(truth[chosen], given[chosen])
            for subset, rule in SUBSETS.items()
            if (chosen := rule(faces.votes)).any()
        }
        found[name]["recall"] = dict(zip(EMOTIONS, _recalls(truth[real], given[real]), strict=True))
        found[name]["confusion"] = confusion_matrix(
            truth[real], given[real], labels=range(len(EMOTIONS))
        ).tolist()
    counted = np.bincount(truth[real], minlength=len(EMOTIONS)).tolist()
    found["labelled"] = dict(zip(EMOTIONS, counted, strict=True))
    found["calibration"] = calibration(answers[real], faces.real())
    return found


def calibration(answers: NDArray[Any], faces: FaceSet) -> dict[str, float]:
    """How far confidence and accuracy lie apart, and how near the answers are to the votes.

    `error`: expected calibration error of the most probable emotion, a fraction. `cross_entropy` to the votes and
    `entropy` of the votes themselves, which it cannot go below, in nats.
    """
    truth, confidence, given = label(faces.votes), np.exp(answers.max(1)), answers.argmax(1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence - (given == truth), minlength=BINS)
    votes = distribution(faces.votes).astype(np.float64)
    return {
        "confidence": float(confidence.mean()),
        "error": float(np.abs(gaps).sum() / len(faces)),
        "cross_entropy": float(-(votes * answers).sum(1).mean()),
        "entropy": float(stats.entropy(votes, axis=1).mean()),
    }


def _subset(truth: NDArray[Any], given: NDArray[Any]) -> dict[str, Any]:
    """Accuracy and UAR [value, lo, hi]; intervals from faces drawn with replacement."""
    right = truth == given
    counted = np.bincount(truth, minlength=len(EMOTIONS))
    shares = np.bincount(truth[right], minlength=len(EMOTIONS))
    # A draw of N faces is a draw of how many are of which emotion, and right or wrong: 16 counts.
    drawn = np.random.default_rng(0).multinomial(
        len(truth), np.concatenate([shares, counted - shares]) / len(truth), size=RESAMPLES
    )
    hits, all_drawn = drawn[:, : len(EMOTIONS)], drawn[:, : len(EMOTIONS)] + drawn[:, len(EMOTIONS) :]
    with np.errstate(invalid="ignore"):
        uars = np.nanmean(np.where(counted > 0, hits / all_drawn, np.nan), axis=1)
    values = {"accuracy": (right.mean(), hits.sum(1) / len(truth)), "UAR": (_uar(truth, given), uars)}
    return {"faces": len(truth)} | {
        name: [float(value), *map(float, np.percentile(spread, [2.5, 97.5]))]
        for name, (value, spread) in values.items()
    }


def _recalls(truth: NDArray[Any], given: NDArray[Any]) -> list[float | None]:
    chosen = [truth == emotion for emotion in range(len(EMOTIONS))]
    return [float((given[c] == e).mean()) if c.any() else None for e, c in enumerate(chosen)]


def _uar(truth: NDArray[Any], given: NDArray[Any]) -> float:
    return float(np.mean([recall for recall in _recalls(truth, given) if recall is not None]))
