"""Sums by cluster, small enough to keep: every score, interval and test of a study can be computed from them again."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmarr.evaluation.sufficient_statistics import SufficientStatistics, gather, sufficient_statistics
from cmarr.modalities import CONDITIONS
from cmarr.task import Task

DIGITS = 4
"""Of sums that are no counts: those of a score."""


def packed(frames: Sequence[pd.DataFrame], task: Task) -> str:
    """How many clusters there are, and fold -> seed -> condition that can be met -> number of a cluster -> its sums.

    JSON, compressed, in letters that JSON can hold: as it stands it would be most of a result's size.
    """
    found = sufficient_statistics(gather(frames), task)
    sums = np.round(found.sums, DIGITS)
    folds = {
        str(fold): {
            str(seed): {
                condition: {
                    str(c): [int(x) if x == int(x) else float(x) for x in sums[f, s, p, c]]
                    for c in np.flatnonzero(sums[f, s, p].any(1))
                }
                for p, condition in enumerate(CONDITIONS)
                if found.met[f, p]
            }
            for s, seed in enumerate(found.seeds)
        }
        for f, fold in enumerate(found.folds)
    }
    text = json.dumps({"clusters": len(found.clusters), "folds": folds}, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(told: str, task: Task) -> SufficientStatistics:
    """What `packed` made small; clusters are known by their number."""
    kept: Mapping[str, Any] = json.loads(zlib.decompress(base64.b64decode(told)))
    folds = sorted(kept["folds"], key=int)
    seeds = sorted(kept["folds"][folds[0]], key=int)
    width = 17 if task.regression else len(task.classes) ** 2
    sums = np.zeros((len(folds), len(seeds), len(CONDITIONS), kept["clusters"], width))
    met = np.zeros((len(folds), len(CONDITIONS)), bool)
    for f, fold in enumerate(folds):
        for s, seed in enumerate(seeds):
            for condition, clusters in kept["folds"][fold][seed].items():
                p = CONDITIONS.index(condition)
                met[f, p] = True
                for c, own in clusters.items():
                    sums[f, s, p, int(c)] = own
    names = tuple(str(c) for c in range(kept["clusters"]))
    return SufficientStatistics(sums, met, tuple(map(int, folds)), tuple(map(int, seeds)), names, task)
