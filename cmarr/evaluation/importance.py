"""What each modality contributes to a score: exact Shapley values (Shapley 1953).

The players are the modalities; a set of them is worth the score under that condition, and the empty set what the
training prior scores, which is the answer without any evidence: UAR 1 / K, WAR the share of the majority class.
A modality's value is its gain averaged over all orders in which the modalities can arrive, so the values sum to
the score of the complete condition minus the prior's. Three modalities have eight sets: nothing is approximated.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd

from cmarr.evaluation.predictions import columns
from cmarr.evaluation.resampling import RESAMPLES, bootstrap_interval
from cmarr.evaluation.scores import metrics_of
from cmarr.evaluation.sufficient_statistics import ROWS, gather, sufficient_statistics
from cmarr.evaluation.summary import DIGITS, Frames
from cmarr.modalities import CONDITION_OF, MODALITIES
from cmarr.task import Task

COLUMNS = ("metric", "modality", "value", "lo", "hi", "prior", "complete", "covers")


def importance(
    frames: Frames,
    task: Task,
    priors: Mapping[int, Sequence[float]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a metric and modality, in the metric's own unit (of MAE less is better, so a gain is negative).

    priors: fold -> class frequencies (K,) of its training split, or its score (1,).

    value, lo, hi  Shapley value and its 95 % interval, clusters resampled: of the headline, the mean over folds,
                   then seeds
    prior          what the training prior scores on the utterances of the complete condition
    complete       the score with every modality: prior + the sum of the values
    covers         the modalities that the corpus has; one that it lacks has no value. Where a set of them
                   occurs in no utterance there is no game, and no value at all
    """
    frame = gather(frames, task)
    sums = sufficient_statistics(frame, task)
    players = "".join(m for m in MODALITIES if m in sums.reported)
    names = metrics_of(task)
    if not players or not {CONDITION_OF[s] for s in _sets(players) if s} <= set(sums.reported):
        rows = [(metric, m, *(np.nan,) * 5, players) for metric in names for m in MODALITIES]
        return pd.DataFrame(rows, columns=list(COLUMNS))
    complete = CONDITION_OF[frozenset(players)]
    empty = sufficient_statistics(
        _answered_by_prior(frame[frame["condition"] == complete], task, priors), task
    )

    def worth(weights: np.ndarray) -> dict[frozenset[str], np.ndarray]:
        """Set -> (B, metrics)."""
        known, nothing = (t.drawn(weights) for t in (sums, empty))
        values = {s: known[..., ROWS.index(name)] for s, name in CONDITION_OF.items()}
        return values | {frozenset(): nothing[..., ROWS.index(complete)]}

    def values(weights: np.ndarray) -> np.ndarray:
        return shapley(worth(weights), players).reshape(len(weights), -1)

    once = np.ones((1, len(sums.clusters)))
    found = values(once).reshape(len(names), -1)
    lo, hi = (
        bound.reshape(found.shape)
        for bound in bootstrap_interval(values, len(sums.clusters), resamples=resamples, seed=seed)
    )
    ends = worth(once)
    rows = []
    for i, metric in enumerate(names):
        whole = [float(ends[frozenset(s)][0, i]) for s in ("", players)]
        for m in MODALITIES:
            at = players.find(m)
            own = [float(x[i, at]) if at >= 0 else np.nan for x in (found, lo, hi)]
            rows.append((metric, m, *np.round([*own, *whole], DIGITS), players))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shapley(worth: Mapping[frozenset[str], np.ndarray], players: str) -> np.ndarray:
    """(..., players) values from what every set of players is worth, (...) each."""
    n = len(players)
    out = []
    for player in players:
        rest = players.replace(player, "")
        gains = [
            factorial(len(s)) * factorial(n - len(s) - 1) / factorial(n) * (worth[s | {player}] - worth[s])
            for s in _sets(rest)
        ]
        out.append(np.sum(gains, axis=0))
    return np.stack(out, axis=-1)


def _sets(players: str) -> list[frozenset[str]]:
    """All sets of players, the empty one first."""
    return [frozenset(s) for size in range(len(players) + 1) for s in combinations(players, size)]


def _answered_by_prior(rows: pd.DataFrame, task: Task, priors: Mapping[int, Sequence[float]]) -> pd.DataFrame:
    """The rows with every answer replaced by that of the fold's training prior."""
    answers = np.array([priors[fold] for fold in rows["fold"]], np.float64).reshape(len(rows), -1)
    return rows.assign(**dict(zip(columns(task), answers.T, strict=True)))
