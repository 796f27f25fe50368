"""Every method on two corpora of which the optimum is known: `python -m benchmarks.controls [--draws 3]`.

The trainings are those of the pipeline under the dataset's preset. Answers are kept below the folder `--out`, and a run
goes on where it stopped; after a change of code take another folder. What came of it is kept as
`benchmarks/results/controls.json` and drawn as docs/controls.svg; docs/controls.md says how to read both.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from benchmarks.claim.corpora import Corpus
from benchmarks.claim.plan import METHODS
from benchmarks.claim.runs import Run, carry_out
from benchmarks.machine import machine
from benchmarks.records import command_line, keep, kept
from cmarr.corpora.controls import best_rates
from cmarr.evaluation.predictions import read_predictions, task_of
from cmarr.evaluation.summary import summarise
from cmarr.masks.protocols import FIXED
from cmarr.modalities import CONDITIONS, INCOMPLETE
from cmarr.report.table import markdown_table

FIGURE = Path(__file__).parents[1] / "docs/controls.svg"
CONTROLS = ("recovery", "nothing")
GUESSING = (
    "linear",
    "late",
    "gbdt",
    "masked",
    "recovered_zeros",
    "direct_wo_recovery",
    "momke",
    "cmad",
    "mcur",
)
"""What recovers nothing; every other method of the registry does."""
ROWS = (*GUESSING, "cmarr_direct", *(m for m in METHODS if m not in GUESSING))
"""Methods, and ablations of params.yaml."""


def corpus(control: str, draw: int) -> Corpus:
    """A draw, as the dataset `control_recovery` or `control_nothing` with another seed."""
    return Corpus(f"control_{control}-{draw}", f"control_{control}", (("seed", draw),))


def run(draws: int, out: Path) -> None:
    """Train what has not been trained yet; keep, after every draw, control -> row -> condition -> UAR of each draw."""
    told: dict[str, Any] = {
        "command": "python -m benchmarks.controls",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "uar": {control: {row: {c: [] for c in CONDITIONS} for row in ROWS} for control in CONTROLS},
    }
    for draw in range(draws):
        for control in CONTROLS:
            drawn = corpus(control, draw)
            carry_out(drawn, ROWS, (0,), out, workers=1)
            for row in ROWS:
                for c, value in scores(drawn, row, out).items():
                    told["uar"][control][row][c].append(round(value, 4))
        keep("controls", told)


def scores(drawn: Corpus, row: str, out: Path) -> dict[str, float]:
    """Condition -> UAR of a method's answers on a draw."""
    frame = read_predictions(Run(drawn, row, 1, 0).answers(out), FIXED)
    found = summarise([frame], task_of(frame), resamples=2)["UAR"]
    return {c: found[c]["mean"] for c in CONDITIONS}


def means(told: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Control -> row -> (draws,) mean UAR of the six incomplete conditions, in %."""
    return {
        control: {row: 100 * np.mean([own[c] for c in INCOMPLETE], axis=0) for row, own in rows.items()}
        for control, rows in told["uar"].items()
    }


def best(control: str) -> float:
    """What no method can exceed, in %."""
    rates = best_rates(control)  # type: ignore[arg-type]
    return 100 * float(np.mean([rates[c] for c in INCOMPLETE]))


def table(told: Mapping[str, Any]) -> str:
    """A row a method, below the best possible; a column a control."""
    found = means(told)
    rows = [
        {"method": "best possible", "recovers": ""} | {f"control_{c}": f"{best(c):.1f}" for c in CONTROLS}
    ]
    for row in ROWS:
        cells = {
            f"control_{c}": f"{found[c][row].mean():.1f} ± {found[c][row].std(ddof=1):.1f}" for c in CONTROLS
        }
        rows.append({"method": row, "recovers": "" if row in GUESSING else "yes"} | cells)
    draws = len(found[CONTROLS[0]][ROWS[0]])
    return (
        f"{markdown_table(pd.DataFrame(rows))}\nUAR in %, mean of the six incomplete conditions and of {draws} draws, "
        f"one training each, ± deviation over the draws ({told['date']})."
    )


def draw_figure(path: Path = FIGURE) -> None:
    """A panel a control: a dot a draw, a line at what no method can exceed, and one at guessing."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 5.5), sharey=True, layout="constrained")
    for panel, (control, drawn) in zip(panels, means(kept("controls")).items(), strict=True):
        for place, (row, values) in enumerate(drawn.items()):
            colour = "tab:gray" if row in GUESSING else "tab:blue"
            panel.plot(values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=4)
            panel.plot(values.mean(), place, "|", color=colour, markersize=14)
        panel.axvline(best(control), color="black", linewidth=1)
        panel.axvline(50, color="black", linewidth=1, linestyle=":")
        panel.set(title=f"control_{control}", xlabel="UAR in %, mean of the six incomplete conditions")
        panel.set_yticks(range(len(drawn)), list(drawn))
    panels[0].invert_yaxis()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Run, keep, draw."""
    parser = command_line(__doc__)
    parser.add_argument("--draws", type=int, default=3, help="of each corpus, at least two")
    parser.add_argument("--out", type=Path, default=Path(".cmarr/controls"), help="folder of the answers")
    parser.add_argument("--figure", action="store_true", help="only draw the figure, from the kept results")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if not asked.figure:
        run(asked.draws, asked.out)
    draw_figure()
    print(table(kept("controls")))


if __name__ == "__main__":
    main()
