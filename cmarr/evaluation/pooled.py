"""The test utterances of all folds together, seed by seed: what is no score of a fold is measured on them.

Fifteen bins of a fold's few utterances would measure noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.evaluation.summary import DIGITS
from cmarr.modalities import CONDITIONS

COLUMNS = ("metric", "condition", "value", "lo", "hi", "calibrated", "n", "all", "n_all", "covers")
"""Of the tables of measures."""


def counted(frame: pd.DataFrame, *, everyone: bool = False) -> pd.DataFrame:
    """The rows of `gather` that count: of conditions that can be met in their fold, and with something usable.

    `everyone`: those with nothing usable, which the training prior answers, too.
    """
    whole = frame["n_usable"] == frame["condition"].str.len()
    met = whole.groupby([frame["fold"], frame["condition"]]).transform("any")
    return frame[met if everyone else met & (frame["n_usable"] > 0)]


def utterances(frame: pd.DataFrame) -> dict[str, tuple[set[Any], set[Any]]]:
    """Condition -> the (fold, utterance) pairs that count, and all of them; only conditions that can be met."""
    found = {}
    for condition, part in by_condition(counted(frame, everyone=True)):
        usable = part[part["n_usable"] > 0]
        found[condition] = (
            set(zip(usable["fold"], usable["id"], strict=True)),
            set(zip(part["fold"], part["id"], strict=True)),
        )
    return found


def by_condition(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The conditions that have rows, in the order of the tables, each with its rows."""
    groups = dict(iter(rows.groupby("condition")))
    for condition in CONDITIONS:
        if condition in groups:
            yield condition, groups[condition]


def measure_table(
    measures: Sequence[str],
    values: Mapping[tuple[str, str], float],
    everyone: Mapping[tuple[str, str], float],
    ids: Mapping[str, tuple[set[Any], set[Any]]],
    *,
    bounds: Mapping[tuple[str, str], tuple[float, float]],
    calibrated: Mapping[tuple[str, str], float] | None = None,
) -> pd.DataFrame:
    """Rows of `COLUMNS` from values by (measure, condition) and `utterances`; `bounds` by (measure, row)."""

    def number(source: Mapping[tuple[str, str], float], measure: str, members: Sequence[str]) -> float:
        known = [source[measure, c] for c in members if (measure, c) in source]
        return round(float(np.mean(known)), DIGITS) if known else np.nan

    rows = []
    for measure in measures:
        for row in ROWS:
            members = [c for c in AVERAGES.get(row, (row,)) if c in ids]
            lo, hi = bounds.get((measure, row), (np.nan, np.nan))
            rows.append(
                {
                    "metric": measure,
                    "condition": row,
                    "value": number(values, measure, members),
                    "lo": round(lo, DIGITS),
                    "hi": round(hi, DIGITS),
                    "calibrated": number(calibrated or {}, measure, members),
                    "n": len(set().union(*(ids[c][0] for c in members))),
                    "all": number(everyone, measure, members),
                    "n_all": len(set().union(*(ids[c][1] for c in members))),
                    "covers": " ".join(members),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def rows_of(values: np.ndarray, conditions: Sequence[str]) -> np.ndarray:
    """(B, P) values of the conditions that can be met -> (B, 9) in the order of `ROWS`, averages included."""
    out = np.full((len(values), len(ROWS)), np.nan)
    for r, row in enumerate(ROWS):
        places = [i for i, c in enumerate(conditions) if c in AVERAGES.get(row, (row,))]
        if places:
            out[:, r] = values[:, places].mean(1)
    return out
