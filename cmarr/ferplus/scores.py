"""Answers to a part of FER+ in numbers: accuracy and UAR with intervals, recalls, confusions, calibration."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import confusion_matrix

from cmarr.encoders.face_network import EMOTIONS
from cmarr.ferplus.balance import balanced
from cmarr.ferplus.faces import FaceSet
from cmarr.ferplus.votes import distribution, has_majority, is_face, is_tied, label

RESAMPLES = 2000
"""Draws of faces behind an interval of 95 %."""

BINS = 15
"""Of confidence, equally wide, for the calibration error (Guo et al. 2017)."""

SUBSETS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "all": is_face,
    "untied": lambda votes: is_face(votes) & ~is_tied(votes),
    "majority": has_majority,
}
"""Which faces: all that nobody takes for no face; of these, those with one most frequent emotion; Barsoum's majority
subset, in which a lone vote against a face does not count."""


def part_scores(answers: np.ndarray, faces: FaceSet, shares: np.ndarray, strength: float) -> dict[str, Any]:
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


def calibration(answers: np.ndarray, faces: FaceSet) -> dict[str, float]:
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


def _subset(truth: np.ndarray, given: np.ndarray) -> dict[str, Any]:
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


def _recalls(truth: np.ndarray, given: np.ndarray) -> list[float | None]:
    chosen = [truth == emotion for emotion in range(len(EMOTIONS))]
    return [float((given[c] == e).mean()) if c.any() else None for e, c in enumerate(chosen)]


def _uar(truth: np.ndarray, given: np.ndarray) -> float:
    return float(np.mean([recall for recall in _recalls(truth, given) if recall is not None]))
