"""The measures of calibration and of risk, as tables and in words: a row a method, a column a condition."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.modalities import NAMES
from cmarr.report.table import NOTHING, Table

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
