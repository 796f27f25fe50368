"""The scores of single folds and seeds, from which the headline is averaged."""

from collections.abc import Sequence

import pandas as pd

from cmarr.evaluation.scores import metrics_of, scores
from cmarr.evaluation.tallies import AVERAGES
from cmarr.masks.protocols import FIXED
from cmarr.task import Task


def fold_table(frames: Sequence[pd.DataFrame], task: Task) -> pd.DataFrame:
    """One row a fold, seed, metric and condition (or 'avg6', 'avg7'): fold, seed, metric, condition, value.

    `frames` are the predictions, one frame a fold and seed; their fixed protocol is scored. A condition nobody
    can meet has no value; an average is taken over those that have one.
    """
    rows = []
    for frame in frames:
        fold, seed = int(frame["fold"].iloc[0]), int(frame["seed"].iloc[0])
        fixed = frame[frame["protocol"] == FIXED]
        found = {str(c): scores(part, task) for c, part in fixed.groupby("condition", sort=False)}
        for metric in metrics_of(task):
            values = {c: s[metric] for c, s in found.items()}
            for average, members in AVERAGES.items():
                known = [v for c in members if (v := values.get(c)) is not None]
                values[average] = sum(known) / len(known) if known else None
            rows += [(fold, seed, metric, condition, value) for condition, value in values.items()]
    return pd.DataFrame(rows, columns=["fold", "seed", "metric", "condition", "value"])
