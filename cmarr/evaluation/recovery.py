"""How near recovered representations come to the true ones (the numbers behind the paper's Figure 5).

Ridge regression from the available modalities' representations, step by step, is the yardstick: a recovery
that explains no more of the truth than that has not earned its flows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.linear_model import RidgeCV

from cmarr.evaluation.resampling import bootstrap_interval

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
"""Ridge's penalty is chosen among these on the training split, leaving one step out."""

MEASURES = ("cosine", "cosine_other", "mse", "unexplained", "unexplained_ridge", "rank", "agreement")


@dataclass(frozen=True)
class Pair:
    """Truth and recovery of one modality from one set of sources, (R, L, d) each.

    agrees: (R,) bool, whether both lead to the same class.
    """

    sources: str
    missing: str
    truth: np.ndarray
    recovered: np.ndarray
    ridge: np.ndarray
    agrees: np.ndarray


def measure(pair: Pair) -> pd.DataFrame:
    """One row an utterance, R >= 2:

    cosine, cosine_other: of the recovered vector with its own truth, and its mean with the other utterances'
                          truths (vectors are means over the L steps)
    mse:                  mean squared error over all L * d entries, as in L_rec
    unexplained, unexplained_ridge: squared error divided by the truths' mean squared distance from their mean,
                          so that the mean over utterances is the unexplained variance, 1 - R^2
    rank:                 share of the other utterances' truths that lie nearer to the recovered vector than its
                          own truth: 0 the best, 0.5 chance
    agreement:            1 where the recovered modality leads to the class that the true one leads to, else 0
    """
    truth, recovered = pair.truth.mean(1), pair.recovered.mean(1)  # (R, d)
    count = len(truth)
    cosine = 1 - cdist(recovered, truth, "cosine")  # (R, R)
    distance = cdist(recovered, truth)
    own = np.diagonal(cosine)
    squares = np.square(pair.truth - pair.truth.mean((0, 1)))
    spread = squares.sum((1, 2)).mean()
    error, ridge = (np.square(x - pair.truth) for x in (pair.recovered, pair.ridge))
    return pd.DataFrame(
        {
            "sources": pair.sources,
            "missing": pair.missing,
            "cosine": own,
            "cosine_other": (cosine.sum(1) - own) / (count - 1),
            "mse": error.mean((1, 2)),
            "unexplained": error.sum((1, 2)) / spread,
            "unexplained_ridge": ridge.sum((1, 2)) / spread,
            "rank": (distance < np.diagonal(distance)[:, None]).sum(1) / (count - 1),
            "agreement": pair.agrees.astype(np.float64),
        }
    )


def ridge_answer(
    train_sources: Sequence[np.ndarray], train_truth: np.ndarray, sources: Sequence[np.ndarray]
) -> np.ndarray:
    """Ridge regression of a modality's steps on the same steps of its sources.

    train_sources, sources: representations (N, L, d) and (R, L, d), one a source; train_truth (N, L, d).
    Returns (R, L, d).
    """
    steps = [np.concatenate(parts, axis=-1) for parts in (train_sources, sources)]
    model = RidgeCV(PENALTIES).fit(
        steps[0].reshape(-1, steps[0].shape[-1]), train_truth.reshape(-1, train_truth.shape[-1])
    )
    answered = model.predict(steps[1].reshape(-1, steps[1].shape[-1]))
    return answered.reshape(*steps[1].shape[:2], -1)


def recovery_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Mean of every measure over the utterances of a fold, then folds, then seeds, a row a (sources, missing).

    `measured` holds rows of `measure` with the columns fold and seed; `n` counts utterances.
    """
    keys = ["missing", "sources"]
    runs = measured.groupby([*keys, "fold", "seed"], sort=False)[list(MEASURES)].mean()
    table = runs.groupby([*keys, "seed"], sort=False).mean().groupby(keys, sort=False).mean()
    n = measured.groupby(keys, sort=False)["id"].nunique()
    return table.assign(n=n).reset_index()


def paired_difference(
    measured: pd.DataFrame, first: tuple[str, str], second: tuple[str, str], measure: str
) -> dict[str, float] | None:
    """A measure of the recovery `first` = (sources, missing) minus that of `second`, utterance by utterance.

    Returns difference, lo, hi (95 %, clusters resampled), or None where the two share no utterance.
    """
    run = ["fold", "seed", "id"]
    sides = []
    for sources, missing in (first, second):
        rows = measured[(measured["sources"] == sources) & (measured["missing"] == missing)]
        sides.append(rows.set_index(run)[[measure, "cluster"]])
    joined = sides[0].join(sides[1][[measure]].set_axis(["second"], axis=1), how="inner")
    if joined.empty:
        return None
    change = (joined[measure] - joined["second"]).to_numpy()
    names, codes = np.unique(joined["cluster"].to_numpy(), return_inverse=True)
    sums = np.bincount(codes, change, len(names))
    counts = np.bincount(codes, minlength=len(names))

    def mean(weights: np.ndarray) -> np.ndarray:
        return ((weights * sums).sum(1) / (weights * counts).sum(1))[:, None]

    lo, hi = bootstrap_interval(mean, len(names))
    return {"difference": float(change.mean()), "lo": float(lo[0]), "hi": float(hi[0])}
