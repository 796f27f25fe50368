"""Can the probabilities be believed, and does a method know when it is wrong?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.modalities import CONDITIONS, NAMES
from cmarr.report.markdown import NOTHING
from cmarr.report.page import Block, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import FAINT, Look, horizontal_grid, looks, small_axes, style
from cmarr.report.table import Table

TITLE = "Calibration: can the probabilities be believed?"
RISK = "Does it know when it is wrong?"
HOW = "No calibration was measured: evaluate the methods again (`dvc repro evaluate`); a score has no probabilities."
HOW_RISK = "No method tells how unsure it is, so no answer could be declined first; `dvc repro` evaluates them again."

FIRM = 5
"""Answers in a bin from which on the line goes through it; a dot alone shows one of fewer."""

MEANINGS = {
    "ECE": "Expected calibration error, 15 bins: mean distance between confidence and accuracy, less is better",
    "Brier": "Brier score, 0 to 2: squared distance between probabilities and truth, less is better",
    "NLL": "Negative log-likelihood of the true class, nats, less is better",
    "AURC": "Area under the risk-coverage curve, less is better",
}


def calibration_section(
    calibration: Mapping[str, pd.DataFrame], reliability: Mapping[str, pd.DataFrame]
) -> Section:
    """Reliability diagrams and tables, by method, see `cmarr.evaluation.calibration`."""
    calibration = {m: frame for m, frame in calibration.items() if len(frame)}
    if not calibration:
        return Section("calibration", TITLE, missing=HOW)
    blocks: list[Block] = []
    drawn = {m: frame for m, frame in reliability.items() if len(frame)}
    if drawn:
        known = looks(drawn)
        conditions = [c for c in CONDITIONS if any(c in set(f["condition"]) for f in drawn.values())]
        blocks.append(
            Picture(
                "calibration",
                "Reliability: how often an answer is right, over the confidence it was given with. On the diagonal "
                "confidence is deserved; below it the method is too sure of itself. Larger markers: more answers; "
                f"the line leaves out bins of fewer than {FIRM}.",
                _alt(calibration, "ECE"),
                [
                    Panel(f"calibration-{c}", reliability_figure(drawn, c, known), _spoken(c))
                    for c in conditions
                ],
                legend=known,
            )
        )
    blocks += [measure_table(calibration, name) for name in ("ECE", "Brier", "NLL")]
    return Section("calibration", TITLE, (), blocks)


def risk_section(
    calibration: Mapping[str, pd.DataFrame], risk: Mapping[str, pd.DataFrame], loss: str
) -> Section:
    """Risk-coverage curves, by method, see `cmarr.evaluation.selective`. loss: what risk is, in words."""
    drawn = {m: frame for m, frame in risk.items() if len(frame)}
    if not drawn:
        return Section("risk", RISK, missing=HOW_RISK)
    known = looks(drawn)
    conditions = [c for c in CONDITIONS if any(c in set(f["condition"]) for f in drawn.values())]
    areas = {m: frame for m, frame in calibration.items() if "AURC" in set(frame["metric"])}
    blocks: list[Block] = [
        Picture(
            "risk",
            f"Risk ({loss}) over coverage, the share of utterances that is answered, the surest first. A curve that "
            "falls to the left knows what it does not know; a flat one does not.",
            _alt(areas, "AURC"),
            [Panel(f"risk-{c}", risk_figure(drawn, c, known), _spoken(c)) for c in conditions],
            legend=known,
        )
    ]
    if areas:
        blocks.append(measure_table(areas, "AURC"))
    return Section("risk", RISK, (), blocks)


def reliability_figure(
    reliability: Mapping[str, pd.DataFrame], condition: str, known: Mapping[str, Look]
) -> Figure:
    """One condition: accuracy over confidence, a line a method."""
    with style():
        figure, axes = small_axes(2.55, 2.4, left=0.5, bottom=0.45)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, dashes=(4, 3))
        for method, frame in reliability.items():
            own = frame[(frame["condition"] == condition) & (frame["n"] > 0)]
            look = known[method]
            size = 8 + 60 * own["n"] / max(own["n"].sum(), 1)
            firm = own[own["n"] >= FIRM]
            axes.plot(
                firm["confidence"],
                firm["accuracy"],
                color=look.colour,
                linewidth=1.3,
                dashes=look.dashes or (None, None),
                alpha=0.7,
            )
            axes.scatter(
                own["confidence"],
                own["accuracy"],
                s=size,
                color=look.colour,
                marker=look.marker,
                linewidth=0.5,
                edgecolor="white",
                zorder=3,
            )
        axes.set_xlim(0, 1.02)
        axes.set_ylim(-0.02, 1.04)
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([0, 0.5, 1])
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is right")
    return figure


def risk_figure(risk: Mapping[str, pd.DataFrame], condition: str, known: Mapping[str, Look]) -> Figure:
    """One condition: risk over coverage, a line a method."""
    with style():
        figure, axes = small_axes(2.55, 2.1, left=0.5, bottom=0.45)
        horizontal_grid(axes)
        for method, frame in risk.items():
            own = frame[frame["condition"] == condition].sort_values("coverage")
            look = known[method]
            axes.plot(
                own["coverage"],
                own["risk"],
                color=look.colour,
                linewidth=1.6,
                dashes=look.dashes or (None, None),
                marker=look.marker,
                markersize=4.5,
                markevery=4,
                markeredgecolor="white",
                markeredgewidth=0.5,
            )
        axes.set_xlim(0, 1.03)
        axes.set_ylim(bottom=0)
        axes.set_xticks([0, 0.5, 1])
        axes.set_xlabel("coverage")
        axes.set_ylabel("risk")
    return figure


def measure_table(calibration: Mapping[str, pd.DataFrame], metric: str) -> Table:
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


def _spoken(condition: str) -> str:
    return " + ".join(NAMES[m] for m in condition)


def _alt(calibration: Mapping[str, pd.DataFrame], metric: str) -> str:
    told = []
    for method, frame in calibration.items():
        own = frame[(frame["metric"] == metric) & (frame["condition"] == "avg7")]
        if len(own) and np.isfinite(own["value"].iloc[0]):
            told.append(f"{method} {own['value'].iloc[0]:.3f}")
    return f"Lines by condition; {metric}, mean of the conditions: {', '.join(told)}."
