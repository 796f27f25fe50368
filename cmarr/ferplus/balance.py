"""Rare emotions and frequent ones: how much of the training faces' proportions is taken out of the answers."""

import numpy as np

from cmarr.encoders.face_network import EMOTIONS
from cmarr.ferplus.faces import FaceSet
from cmarr.ferplus.votes import label

STRENGTHS = tuple(round(0.05 * step, 2) for step in range(21))
"""What is tried: from 0, the answers as they are, to 1, as if all emotions were equally frequent."""


def class_shares(faces: FaceSet) -> np.ndarray:
    """(8,) how often each emotion is the label; an emotion that never is counts as one face."""
    counted = np.bincount(label(faces.votes), minlength=len(EMOTIONS)).clip(min=1)
    return counted / counted.sum()


def balanced(answers: np.ndarray, shares: np.ndarray, strength: float) -> np.ndarray:
    """Log probabilities (N, 8) -> log scores (N, 8) with the shares taken out (logit adjustment, Menon et al. 2021)."""
    return answers - strength * np.log(shares)


def best_strength(answers: np.ndarray, faces: FaceSet, shares: np.ndarray) -> float:
    """The strength with the highest mean of accuracy and UAR on these (validation) faces, the weakest on ties."""
    truth = label(faces.votes)
    rows = [truth == emotion for emotion in np.unique(truth)]

    def worth(strength: float) -> float:
        right = balanced(answers, shares, strength).argmax(1) == truth
        return float(right.mean() + np.mean([right[chosen].mean() for chosen in rows]))

    return max(STRENGTHS, key=lambda strength: (round(worth(strength), 9), -strength))
