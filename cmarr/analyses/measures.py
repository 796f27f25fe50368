"""The measures of calibration and of risk, on the test utterances of all folds together, as tables and in words.

Fifteen bins of a fold's few utterances would measure noise.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS, Seen, seen, sizes
from cmarr.evaluation.summary import DIGITS
from cmarr.modalities import CONDITIONS, NAMES
from cmarr.report.table import NOTHING, Table

COLUMNS = ("metric", "condition", "value", "lo", "hi", "calibrated", "n", "all", "n_all", "covers")
"""Of the tables of measures."""


def counted(frame: pd.DataFrame, *, everyone: bool = False) -> pd.DataFrame:
    """The rows of `gather` that count: of conditions that can be met in their fold, and with something usable.

    `everyone`: those with nothing usable, which the training prior answers, too.
    """
    whole = frame["n_usable"] == frame["condition"].str.len()
    met = whole.groupby([frame["fold"], frame["condition"]]).transform("any")
    return frame[met if everyone else met & (frame["n_usable"] > 0)]


def utterances(frame: pd.DataFrame) -> Seen:
    """Condition -> the utterances that count, and all of them; only conditions that can be met."""
    return seen(counted(frame, everyone=True), "condition")


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
    ids: Seen,
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
            n, n_all = sizes(ids, members)
            rows.append(
                {
                    "metric": measure,
                    "condition": row,
                    "value": number(values, measure, members),
                    "lo": round(lo, DIGITS),
                    "hi": round(hi, DIGITS),
                    "calibrated": number(calibrated or {}, measure, members),
                    "n": n,
                    "all": number(everyone, measure, members),
                    "n_all": n_all,
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


MEANINGS = {
    "ECE": "Expected calibration error, 15 bins: mean distance between confidence and accuracy, less is better",
    "Brier": "Brier score, 0 to 2: squared distance between probabilities and truth, less is better",
    "NLL": "Negative log-likelihood of the true class, nats, less is better",
    "AURC": "Area under the risk-coverage curve, less is better",
}


def by_method(calibration: Mapping[str, pd.DataFrame], metric: str) -> Table:
    """One row a method, one column a condition or average; intervals where there are any."""
    rows = []
    for method, frame in calibration.items():
        own = frame[frame["metric"] == metric].set_index("condition")
        cells = {row: _cell(own.loc[row]) if row in own.index else NOTHING for row in ROWS}
        rows.append({"method": method} | {_label(row, own): text for row, text in cells.items()})
        expected = own["calibrated"].dropna() if metric == "ECE" else own["calibrated"][:0]
        if len(expected):
            by_chance = {_label(row, own): f"{expected[row]:.3f}" for row in ROWS if row in expected.index}
            rows.append({"method": f"{method}, if calibrated"} | by_chance)
    notes = ["Over the test utterances of all folds, mean over seeds."]
    if metric == "ECE":
        notes.append(
            "'if calibrated': about what the bins would show even if every probability were true; ECE has no interval, "
            "because every resampling makes it larger."
        )
    return Table(
        f"calibration-{metric.lower()}", f"{MEANINGS[metric]}.", pd.DataFrame(rows).fillna(NOTHING), notes
    )


def _cell(row: pd.Series) -> str:
    if pd.isna(row["value"]):
        return NOTHING
    interval = "" if pd.isna(row["lo"]) else f" [{row['lo']:.2f}, {row['hi']:.2f}]"
    return f"{row['value']:.3f}{interval}"


def _label(row: str, own: pd.DataFrame) -> str:
    if row not in AVERAGES or row not in own.index:
        return row
    covers = str(own.loc[row, "covers"]).split() if pd.notna(own.loc[row, "covers"]) else []
    return row if len(covers) in (0, len(AVERAGES[row])) else f"{row} of {', '.join(covers)}"


def spoken(condition: str) -> str:
    """'st' -> 'speech + text'."""
    return " + ".join(NAMES[m] for m in condition)


def described(calibration: Mapping[str, pd.DataFrame], metric: str) -> str:
    """What a picture of a measure shows, for a person who cannot see it."""
    told = []
    for method, frame in calibration.items():
        own = frame[(frame["metric"] == metric) & (frame["condition"] == "avg7")]
        if len(own) and np.isfinite(own["value"].iloc[0]):
            told.append(f"{method} {own['value'].iloc[0]:.3f}")
    return f"Lines by condition; {metric}, mean of the conditions: {', '.join(told)}."
