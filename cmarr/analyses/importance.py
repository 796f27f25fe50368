"""What each modality contributes to a score: exact Shapley values (Shapley 1953).

The players are the modalities; a set of them is worth the score under that condition, and the empty set what the
training prior scores, which is the answer without any evidence: UAR 1 / K, WAR the share of the majority class.
A modality's value is its gain averaged over all orders in which the modalities can arrive, so the values sum to
the score of the complete condition minus the prior's. Three modalities have eight sets: nothing is approximated."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmarr.analyses.analysis import Analysis
from cmarr.evaluation.predictions import columns
from cmarr.evaluation.resampling import RESAMPLES, bootstrap_interval
from cmarr.evaluation.scores import metrics_of, primary
from cmarr.evaluation.sufficient_statistics import ROWS, gather, sufficient_statistics
from cmarr.evaluation.summary import DIGITS, Frames
from cmarr.modalities import CONDITION_OF, MODALITIES, NAMES
from cmarr.report.numbers import RAW, value_text
from cmarr.report.page import Block, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import FAINT, Look, horizontal_grid, looks, small_axes, style
from cmarr.report.table import NOTHING, Table
from cmarr.task import Task

COLUMNS = ("metric", "modality", "value", "lo", "hi", "prior", "complete", "covers")


def importance(
    frames: Frames, task: Task, priors: Mapping[int, Sequence[float]], *, resamples: int = RESAMPLES
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
    frame = gather(frames)
    sums = sufficient_statistics(frame, task)
    players = "".join(m for m in MODALITIES if m in sums.reported)
    names = metrics_of(task)
    if not players or not {CONDITION_OF[s] for s in _sets(players) if s} <= set(sums.reported):
        rows = [(metric, m, *(np.nan,) * 5, players) for metric in names for m in MODALITIES]
        return pd.DataFrame(rows, columns=list(COLUMNS))
    complete = CONDITION_OF[frozenset(players)]
    whole = frame[frame["condition"] == complete]
    answers = np.array([priors[fold] for fold in whole["fold"]], np.float64).reshape(len(whole), -1)
    by_prior = whole.assign(**dict(zip(columns(task), answers.T, strict=True)))
    empty = sufficient_statistics(by_prior, task)

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
        for bound in bootstrap_interval(values, len(sums.clusters), resamples=resamples)
    )
    ends = worth(once)
    rows = []
    for i, metric in enumerate(names):
        around = [float(ends[frozenset(s)][0, i]) for s in ("", players)]
        for m in MODALITIES:
            at = players.find(m)
            own = [float(x[i, at]) if at >= 0 else np.nan for x in (found, lo, hi)]
            rows.append((metric, m, *np.round([*own, *around], DIGITS), players))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shapley(worth: Mapping[frozenset[str], np.ndarray], players: str) -> np.ndarray:
    """(..., players) values from what every set of players is worth, (...) each.

    >>> worth = {frozenset(): 0.0, frozenset("s"): 0.4, frozenset("t"): 0.6, frozenset("st"): 0.8}
    >>> shapley({who: np.array(value) for who, value in worth.items()}, "st").round(3).tolist()
    [0.3, 0.5]
    """
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


def evenness(gains: Sequence[float]) -> float:
    """How evenly modalities contribute: entropy of their shares of the gain over that of equal shares, 0 to 1.

    A modality that gains nothing, or harms, has a share of 0. NaN for fewer than two, and where none gains.

    >>> round(evenness([0.3, 0.1]), 2), evenness([0.4, -0.1])
    (0.81, 0.0)
    """
    gained = np.maximum(np.asarray(gains, np.float64), 0.0)
    if len(gained) < 2 or not gained.sum() > 0:
        return float("nan")
    shares = gained[gained > 0] / gained.sum()
    return abs(float((shares * np.log(shares)).sum() / np.log(len(gained))))


def _sets(players: str) -> list[frozenset[str]]:
    """All sets of players, the empty one first."""
    return [frozenset(s) for size in range(len(players) + 1) for s in combinations(players, size)]


TITLE = "What each modality contributes"
HOW = "No modality importance was measured: evaluate the `methods` again."


def importance_section(importance: Mapping[str, pd.DataFrame], task: Task) -> Section:
    """Shapley values with intervals; by method, see `importance`."""
    metric = primary(task)
    found = {
        m: rows
        for m, frame in importance.items()
        if len(rows := frame[(frame["metric"] == metric) & frame["value"].notna()])
    }
    if not found:
        return Section("importance", TITLE, missing=HOW)
    known = looks(found)
    unit = "" if metric in RAW else ", points"
    frame = pd.DataFrame([_row(method, rows, metric) for method, rows in found.items()])
    lead = (
        f"A modality's value is what it adds to {metric}, averaged over all orders in which the modalities can arrive; "
        "the values sum to the score with everything minus what the training prior scores. Nothing is approximated. "
        "Evenness is 1 where all add alike, 0 where one adds everything: the entropy of their shares of the gain."
    )
    blocks: list[Block] = [
        Picture(
            "importance",
            f"Shapley value of each modality, {metric}{unit}; bars: 95 % interval.",
            _alt(frame),
            [Panel("importance", importance_figure(found, metric, known))],
            legend=known,
        ),
        Table("importance", f"Shapley values of {metric}{unit} [95 % interval].", frame),
    ]
    return Section("importance", TITLE, [lead], blocks)


def importance_figure(
    importance: Mapping[str, pd.DataFrame], metric: str, known: Mapping[str, Look]
) -> Figure:
    """A dot with its interval a modality and method."""
    scale = 1 if metric in RAW else 100
    present = [m for m in MODALITIES if any(m in set(rows["modality"]) for rows in importance.values())]
    step = min(0.16, 0.7 / len(importance))
    with style():
        figure, axes = small_axes(5.2, 2.6, left=0.6, bottom=0.35)
        horizontal_grid(axes)
        axes.axhline(0, color=FAINT, linewidth=1)
        for place, (method, rows) in enumerate(importance.items()):
            own, look = rows.set_index("modality"), known[method]
            for at, m in enumerate(present):
                if m not in own.index:
                    continue
                x = at + (place - (len(importance) - 1) / 2) * step
                lo, value, hi = (scale * own.loc[m, c] for c in ("lo", "value", "hi"))
                look.bar(axes, x, lo, hi)
                look.dots(axes, [x], [value])
        axes.set_xticks(range(len(present)), [NAMES[m] for m in present])
        axes.set_xlim(-0.5, len(present) - 0.5)
        axes.set_ylabel(metric + ("" if scale == 1 else ", points"))
    return figure


def _alt(frame: pd.DataFrame) -> str:
    told = [
        f"{row['method']}: " + ", ".join(f"{name} {row[name]}" for name in NAMES.values())
        for row in frame.to_dict("records")
    ]
    return f"Dots with intervals. {'; '.join(told)}."


def _row(method: str, rows: pd.DataFrame, metric: str) -> dict[str, str]:
    own = rows.set_index("modality")
    out = {"method": method}
    for m in MODALITIES:
        out[NAMES[m]] = NOTHING
        if m in own.index:
            lo, value, hi = (own.loc[m, c] for c in ("lo", "value", "hi"))
            interval = "" if pd.isna(lo) else f" [{_signed(metric, lo)}, {_signed(metric, hi)}]"
            out[NAMES[m]] = f"{_signed(metric, value)}{interval}"
    first = rows.iloc[0]
    sign = -1.0 if metric == "MAE" else 1.0  # of an error, less is a gain
    even = evenness([sign * value for value in rows["value"]])
    return out | {
        "evenness": NOTHING if np.isnan(even) else f"{even:.2f}",
        "prior": value_text(metric, first["prior"]),
        "all together": value_text(metric, first["complete"]),
    }


def _signed(metric: str, value: float) -> str:
    return value_text(metric, value, digits=2 if metric in RAW else 1, sign=True)


ANALYSIS = Analysis(
    lambda study: importance_section(study.evaluated("importance"), study.task),
    measure=lambda of: {"importance.csv": importance(of.frames, of.task, of.priors)},
    shared=True,
)
