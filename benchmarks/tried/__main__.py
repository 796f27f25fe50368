"""Train, ask and compare what `benchmarks.tried` names."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.claim.corpora import prepared, settings_of
from benchmarks.claim.plan import TUNING
from benchmarks.claim.runs import Run, answers, carried_out, costs
from benchmarks.machine import machine
from benchmarks.records import command_line, keep
from benchmarks.tried import NAME, PAIRS, PLUGINS, ROWS, Row
from benchmarks.tried import __doc__ as about
from cmarr import plugins
from cmarr.evaluation.comparison import compare
from cmarr.evaluation.predictions import task_of
from cmarr.evaluation.summary import summarise
from cmarr.folds.files import read_folds
from cmarr.settings.resolve import resolve

SCORES = ("avg6", "svt")


def asked(files: dict[str, Any], row: Row) -> dict[str, Any]:
    """The settings of a row, as a training takes them."""
    own = files[row.like or row.method]
    return {
        **own,
        "method": row.method,
        "settings": {**own["settings"], **row.set},
        "train": {**own["train"], "labels": row.labels},
    }


def run(names: list[str], out: Path, workers: int) -> None:
    """Every fold of every tuning corpus; what was answered before stays."""
    for corpus in TUNING:
        place = prepared(corpus, out, workers)
        files = resolve(settings_of(corpus, tuple(dict.fromkeys(r.like or r.method for r in ROWS.values()))))
        plugins.use(PLUGINS)
        numbers = [fold.number for fold in read_folds(place.folds)]
        own = {name: asked(files, ROWS[name]) for name in names}
        carried_out((Run(corpus, name, n, 0) for name in names for n in numbers), place, own, out)


def keep_all(out: Path) -> None:
    """Score what was answered and compare the pairs, speakers resampled."""
    found = answers(TUNING, list(ROWS), out)
    task = task_of(next(iter(found.values()))[0])
    content: dict[str, Any] = {"methods": {}, "pairs": {}}
    for name, frames in found.items():
        summary, spent = summarise(frames, task)["UAR"], costs(TUNING, name, out)
        content["methods"][name] = {
            "trainings": len(frames),
            **{row: summary[row]["mean"] for row in SCORES},
            "core_seconds": round(float(np.mean([one["core_seconds"] for one in spent])), 2),
        }
        if weights := [
            one["calibration"]["weight"] for one in spent if "weight" in one.get("calibration", {})
        ]:
            content["methods"][name]["weight"] = round(float(np.mean(weights)), 3)
    for first, second in PAIRS:
        if first in found and second in found:
            one, other = ({int(f["fold"].iloc[0]): f for f in found[name]} for name in (first, second))
            both = sorted(set(one) & set(other))
            cells = compare([one[k] for k in both], [other[k] for k in both], task)["UAR"]
            content["pairs"][f"{first}/{second}"] = {row: cells[row] for row in SCORES}
    content["machine"] = machine()
    keep(NAME, content)


def main() -> None:
    """Read the command line and do it."""
    parser = command_line(about)
    parser.add_argument("command", choices=("run", "keep"))
    parser.add_argument("--row", action="append", choices=list(ROWS), help="(may be repeated; all)")
    parser.add_argument("--workers", type=int, default=1, help="processes that make a corpus")
    parser.add_argument(
        "--out", type=Path, default=Path(".cmarr/tried"), help="folder of corpora and answers"
    )
    options: argparse.Namespace = parser.parse_args()
    if options.command == "run":
        run(options.row or list(ROWS), options.out, options.workers)
    else:
        keep_all(options.out)


if __name__ == "__main__":
    main()
