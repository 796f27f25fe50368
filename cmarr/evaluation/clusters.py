"""How well the classes part in representation space, condition by condition: silhouettes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import silhouette_samples

from cmarr.evaluation.resampling import bootstrap_interval
from cmarr.modalities import CONDITIONS

AVERAGE = "mean"
"""Row of the table that averages the conditions."""


def silhouettes(vectors: np.ndarray, labels: Sequence[str] | np.ndarray) -> np.ndarray:
    """(R,) silhouette of each of R vectors (R, d) by class, at cosine distances (Rousseeuw 1987).

    (b - a) / max(a, b) with a the mean distance to its own class and b that to the nearest other one: 1 in
    the midst of its class, 0 between two, below 0 nearer to another class. Empty where it is not defined:
    with fewer than two classes, or a class a vector.
    """
    classes = len(set(labels))
    if not 2 <= classes < len(labels):
        return np.empty(0)
    return silhouette_samples(vectors.astype(np.float64), list(labels), metric="cosine")


def silhouette_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Columns condition, silhouette, lo, hi, n: the mean over the utterances of a fold, folds, seeds.

    `measured` has the columns condition, fold, seed, id, cluster, silhouette. lo, hi: 95 % interval of the
    mean over all utterances, clusters resampled; n counts utterances. The last row averages the conditions.
    """
    rows = []
    present = [c for c in CONDITIONS if c in set(measured["condition"])]
    for condition in [*present, AVERAGE]:
        part = measured if condition == AVERAGE else measured[measured["condition"] == condition]
        runs = part.groupby(["condition", "fold", "seed"], sort=False)["silhouette"].mean()
        by_seed = runs.groupby(["condition", "seed"], sort=False).mean()
        mean = by_seed.groupby("condition", sort=False).mean().mean()
        lo, hi = _interval(part["silhouette"], part["cluster"])
        rows.append((condition, float(mean), lo, hi, part["id"].nunique()))
    return pd.DataFrame(rows, columns=["condition", "silhouette", "lo", "hi", "n"])


def silhouette_difference(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float] | None:
    """Mean silhouette of the first minus the second, utterance by utterance and condition by condition.

    Returns difference, lo, hi (95 %, clusters resampled), or None where the two share none.
    """
    keys = ["condition", "fold", "seed", "id"]
    joined = first.merge(second, on=keys, suffixes=("", "_second"))
    if joined.empty:
        return None
    change = joined["silhouette"] - joined["silhouette_second"]
    lo, hi = _interval(change, joined["cluster"])
    return {"difference": float(change.mean()), "lo": lo, "hi": hi}


def _interval(values: pd.Series, clusters: pd.Series) -> tuple[float, float]:
    names, codes = np.unique(clusters.to_numpy(), return_inverse=True)
    sums, counts = np.bincount(codes, values, len(names)), np.bincount(codes, minlength=len(names))

    def mean(weights: np.ndarray) -> np.ndarray:
        return ((weights * sums).sum(1) / (weights * counts).sum(1))[:, None]

    lo, hi = bootstrap_interval(mean, len(names))
    return float(lo[0]), float(hi[0])
