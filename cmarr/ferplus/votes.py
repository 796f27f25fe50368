"""From votes to labels: what ten people saw in a face, as a distribution, as one class, or as nothing."""

import numpy as np

from cmarr.encoders.face_network import EMOTIONS

COLUMNS = (*EMOTIONS, "unknown", "NF")
"""The columns of FER+'s tables; NF counts the votes that this is not a face."""


def is_face(votes: np.ndarray) -> np.ndarray:
    """Votes (N, 10) -> (N,) bool: nobody said that it is no face, and somebody saw an emotion."""
    return (votes[:, -1] == 0) & (votes[:, : len(EMOTIONS)].sum(1) > 0)


def distribution(votes: np.ndarray) -> np.ndarray:
    """Votes (N, 10) of faces -> shares (N, 8) of the emotions, rows summing to one; 'unknown' is no emotion."""
    emotions = votes[:, : len(EMOTIONS)].astype(np.float32)
    return emotions / emotions.sum(1, keepdims=True)


def label(votes: np.ndarray) -> np.ndarray:
    """Votes (N, 10) -> (N,) the emotion with most votes, the first column on ties."""
    return votes[:, : len(EMOTIONS)].argmax(1)


def is_tied(votes: np.ndarray) -> np.ndarray:
    """Votes (N, 10) -> (N,) bool: several emotions share the most votes."""
    emotions = votes[:, : len(EMOTIONS)]
    return (emotions == emotions.max(1, keepdims=True)).sum(1) > 1


def has_majority(votes: np.ndarray) -> np.ndarray:
    """Votes (N, 10) -> (N,) bool: the faces that Barsoum et al. (2016) score in their majority mode.

    Lone votes are dropped as outliers; of what is left, more than half must be for one emotion ('unknown' and 'no
    face' compete, too).
    """
    kept = np.where(votes > 1, votes, 0)
    most = kept.max(1)
    return (most > 0.5 * kept.sum(1)) & (kept.argmax(1) < len(EMOTIONS))
