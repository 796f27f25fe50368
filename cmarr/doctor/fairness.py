"""Is the demo corpus a fair test? What plain linear models read from it, measured.

Three questions, each answered on leave-one-session-out folds, so always about unseen speakers:
how well does one modality alone, and how well do all together, tell the emotion; how much of one modality
follows from another beyond the emotion; how often does the face detector find the face.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from sklearn.linear_model import LogisticRegression

from cmarr.errors import percent_text
from cmarr.extras import extra
from cmarr.media.mtcnn import Mtcnn
from cmarr.modalities import COMPLETE, MODALITIES, NAMES
from cmarr.utterance import FeatureSequence, Utterance

with extra("media"):
    import av

HELD = 0.5
"""Share of a target's within-class variance that its leading principal components hold together."""

PENALTIES = tuple(10.0**k for k in range(0, 7))
"""Ridge penalties to choose from, for standardised features."""


@dataclass(frozen=True)
class Fairness:
    """The figures. Shares lie in [0, 1]; keys are modality letters, 'svt' for all together.

    war:       accuracy of logistic regression on pooled, standardised features
    shared:    'st' -> R2 of ridge regression from speech to text, and so on, within classes, over the
               leading half of the target's variance
    shared_all: the same over all of the target's variance, noise included
    dimensions: number of principal components each target is judged on
    absent:    share of utterances without that modality
    classes:   utterances of each class
    face_rate: share of video frames in which the detector finds a face; None when not measured
    """

    war: dict[str, float]
    shared: dict[str, float]
    shared_all: dict[str, float]
    dimensions: dict[str, int]
    absent: dict[str, float]
    classes: dict[str, int]
    face_rate: float | None


def measure(
    utterances: Sequence[Utterance],
    features: Mapping[str, Sequence[FeatureSequence]],
    face_rate: float | None = None,
) -> Fairness:
    """Measure a corpus from its extracted features, keyed by modality letter.

    Features are pooled to their mean and standard deviation over time and standardised on the training
    sessions. A single modality is judged on the utterances that have it; all together on every utterance,
    what is absent standing at the training mean.

    R2, from one modality to another, over the utterances with both: the class means of the training
    sessions are subtracted on both sides; the target is its leading principal components (fitted on the
    training sessions) that hold `HELD` of its within-class variance; ridge regression with the penalty
    chosen by leaving out each training session in turn predicts them for the held-out session; R2 = 1 -
    squared error / squares, both summed over components and folds. Zero is what the class
    means alone reach. The same over all components is given beside it: lower, as the small ones are noise.
    """
    row = {u.id: i for i, u in enumerate(utterances)}
    labels = np.array([u.label for u in utterances])
    sessions = np.array([u.session for u in utterances])
    pooled = {m: _pool(features[m], row) for m in MODALITIES}
    war = {m: _war([pooled[m]], labels, sessions) for m in MODALITIES}
    war[COMPLETE] = _war([pooled[m] for m in MODALITIES], labels, sessions)
    pairs = list(permutations(MODALITIES, 2))
    found = {a + b: _shared(pooled[a], pooled[b], labels, sessions, (HELD, 1.0)) for a, b in pairs}
    return Fairness(
        war=war,
        shared={pair: halves[0] for pair, (halves, _) in found.items()},
        shared_all={pair: wholes[0] for pair, (_, wholes) in found.items()},
        dimensions={pair[1]: halves[1] for pair, (halves, _) in found.items()},
        absent={m: float(np.isnan(pooled[m][:, 0]).mean()) for m in MODALITIES},
        classes={str(c): int((labels == c).sum()) for c in np.unique(labels)},
        face_rate=face_rate,
    )


def describe(fairness: Fairness) -> str:
    """The figures as text for people, one fact a line."""
    lines = ["Logistic regression on features pooled over time, leave one session out (WAR, %):"]
    for key, value in fairness.war.items():
        name = "all together" if key == COMPLETE else NAMES[key]
        lines.append(f"  {name:<13}{100 * value:5.1f}")
    lines.append(
        "Shared beyond the label, unseen speakers (R2 of ridge regression after subtracting class means, over\n"
        f"the target's leading principal components that hold {HELD:.0%} of its variance; in brackets, over all):"
    )
    for key, value in fairness.shared.items():
        number, whole = fairness.dimensions[key[1]], fairness.shared_all[key]
        lines.append(
            f"  {NAMES[key[0]]:>6} -> {NAMES[key[1]]:<7}{value:5.2f} on {number} components ({whole:.2f})"
        )
    absent = ", ".join(f"{NAMES[m]} {percent_text(share, 1)} %" for m, share in fairness.absent.items())
    lines.append(f"Absent: {absent}")
    lines.append("Classes: " + ", ".join(f"{name} {count}" for name, count in fairness.classes.items()))
    if fairness.face_rate is not None:
        lines.append(
            f"Frames in which the face detector finds a face: {percent_text(fairness.face_rate, 1)} %"
        )
    return "\n".join(lines)


def face_rate(utterances: Sequence[Utterance], every: int = 25) -> float:
    """Share of frames with a face found by MTCNN, looking at every `every`-th frame.

    A video without any face is an absent modality and is not counted.
    """
    detector = Mtcnn()
    found = looked = 0
    for utterance in utterances:
        if utterance.video is None:
            continue
        with av.open(utterance.video) as container:
            frames = [
                f.to_ndarray(format="gray8")
                for i, f in enumerate(container.decode(video=0))
                if i % every == 0
            ]
        hits = sum(len(detector(frame, 48, max(frame.shape))) > 0 for frame in frames)
        if hits:
            found, looked = found + hits, looked + len(frames)
    return found / looked if looked else 0.0


def _pool(features: Sequence[FeatureSequence], row: Mapping[str, int]) -> np.ndarray:
    """Mean and standard deviation over time, (N, 2 D); NaN rows for utterances without features."""
    out = np.full((len(row), 2 * features[0].frames.shape[1]), np.nan)
    for sequence in features:
        frames = np.asarray(sequence.frames, np.float64)
        out[row[sequence.id]] = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
    return out


def _standardise(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Standardise on the training rows; columns that never vary there become zero."""
    mean, deviation = np.nanmean(x[train], axis=0), np.nanstd(x[train], axis=0)
    return np.asarray((x - mean) / np.where(deviation > 1e-9, deviation, np.inf))


def _span(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Coordinates within the span of the training rows: a linear model with a squared penalty is the same."""
    *_, axes = np.linalg.svd(x[train], full_matrices=False)
    return np.asarray(x @ axes.T)


def _war(parts: list[np.ndarray], labels: np.ndarray, sessions: np.ndarray) -> float:
    known = ~np.isnan(np.stack([p[:, 0] for p in parts], axis=1)).all(axis=1)
    labels, sessions = labels[known], sessions[known]
    right = 0
    for session in np.unique(sessions):
        test = sessions == session
        x = np.concatenate([np.nan_to_num(_standardise(p[known], ~test)) for p in parts], axis=1)
        x = _span(x, ~test)
        model = LogisticRegression(max_iter=2000).fit(x[~test], labels[~test])
        right += int((model.predict(x[test]) == labels[test]).sum())
    return right / len(labels)


def _shared(
    source: np.ndarray, target: np.ndarray, labels: np.ndarray, sessions: np.ndarray, shares: Sequence[float]
) -> list[tuple[float, int]]:
    """R2 from one modality to another, and the number of components of the target in the last fold; for each share."""
    both = ~np.isnan(source[:, 0]) & ~np.isnan(target[:, 0])
    source, target, labels, sessions = source[both], target[both], labels[both], sessions[both]
    error, squares, held = np.zeros(len(shares)), np.zeros(len(shares)), [0] * len(shares)
    for session in np.unique(sessions):
        train = sessions != session
        x = _without_class(_standardise(source, train), labels, train)
        y = _without_class(_standardise(target, train), labels, train)
        _, weights, axes = np.linalg.svd(y[train], full_matrices=False)
        reached = np.cumsum(weights**2) / (weights**2).sum()
        held = [int((reached < share - 1e-9).sum()) + 1 for share in shares]
        x, y = _span(x, train), y @ axes.T
        ridge = _Ridge(x[train], x[~train])
        for i, count in enumerate(held):
            few = y[:, :count]
            penalty = _penalty(x[train], few[train], sessions[train])
            error[i] += ((ridge(few[train], penalty) - few[~train]) ** 2).sum()
            squares[i] += (few[~train] ** 2).sum()
    return list(zip((1 - error / squares).tolist(), held, strict=True))


def _without_class(x: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Subtract the mean of each class over the training rows."""
    out = x.copy()
    for label in np.unique(labels):
        of = labels == label
        out[of] -= x[of & train].mean(axis=0) if (of & train).any() else 0.0
    return out


def _penalty(x: np.ndarray, y: np.ndarray, sessions: np.ndarray) -> float:
    """The ridge penalty with the least squared error when each session is left out in turn."""
    errors = np.zeros(len(PENALTIES))
    for session in np.unique(sessions):
        out = sessions == session
        if out.all():
            continue
        ridge = _Ridge(x[~out], x[out])
        for i, penalty in enumerate(PENALTIES):
            errors[i] += ((ridge(y[~out], penalty) - y[out]) ** 2).sum()
    return PENALTIES[int(errors.argmin())]


class _Ridge:
    """Ridge regression without intercept from rows x (n, D) to new ones, in its dual form: (n, n) whatever the width.

    One eigendecomposition serves all penalties.
    """

    def __init__(self, x: np.ndarray, new: np.ndarray):
        self.values, self.vectors = np.linalg.eigh(x @ x.T)
        self.reach = new @ x.T @ self.vectors

    def __call__(self, y: np.ndarray, penalty: float) -> np.ndarray:
        """Predictions for the new rows, y (n, C) being the targets of the others."""
        return np.asarray((self.reach / (self.values + penalty)) @ (self.vectors.T @ y))
