"""Is a method stopped before it is what it can be? The same trainings with few epochs and with many.

    python -m benchmarks.epochs                                  every method that has epochs, an hour of one core
    python -m benchmarks.epochs --method cmarr --method masked

On a tuning corpus (`benchmarks/claim/plan.py`), five folds and one seed, what a method starts from included. A run goes
on where the last one stopped. benchmarks/results/epochs.json holds the scores; docs/rivals.md shows the table.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.claim.corpora import Prepared, prepared, settings_of
from benchmarks.claim.plan import DETERMINISTIC, METHODS, TUNING
from benchmarks.claim.runs import Run, answered
from benchmarks.claim.table import difference
from benchmarks.machine import machine
from benchmarks.records import RESULTS, command_line, keep, kept, markdown
from cmarr.evaluation.comparison import compare
from cmarr.evaluation.summary import summarise
from cmarr.folds.files import read_folds
from cmarr.settings.resolve import resolve

BUDGETS = {"30": {"epochs": 30, "patience": 8}, "100": {"epochs": 100, "patience": 20}}
"""Name -> of both stages; the first is what the preset `demo` gives to most."""
ONE_PASS = (*DETERMINISTIC, "gbdt")
"""Methods that know no epochs."""
NAME = "epochs"


def measured(method: str, place: Prepared, out: Path) -> dict[str, Any]:
    """Scores, epochs and cost of both budgets, and many epochs minus few, of a method on all folds of a corpus."""
    files = resolve(settings_of(place.of, (method,)))
    frames, found = {}, {}
    for name, budget in BUDGETS.items():
        own, first = _given(files[method], budget), _given(files.get(f"pretrain/{method}", {}), budget)
        runs = [Run(place.of, method, fold.number, 0) for fold in read_folds(place.folds)]
        told = [answered(run, place, own, first, out / "work" / name) for run in runs]
        frames[name] = [frame for frame, _ in told]
        scores = summarise(frames[name], place.task)["UAR"]
        found[name] = {
            **{row: scores[row]["mean"] for row in ("avg6", "svt")},
            "best_epoch": float(np.mean([costs["best_epoch"] for _, costs in told])),
            "core_seconds": float(np.mean([costs["core_seconds"] for _, costs in told])),
        }
    few, many = (frames[name] for name in BUDGETS)
    cell = compare(many, few, place.task)["UAR"]["avg6"]
    return {**found, "difference": {key: cell[key] for key in ("difference", "lo", "hi", "shown")}}


def _given(settings: Mapping[str, Any], budget: Mapping[str, int]) -> dict[str, Any]:
    """A method that starts from nothing has a first stage without a section `train`."""
    return {**settings, "train": {**settings["train"], **budget}} if "train" in settings else dict(settings)


def table(content: Mapping[str, Any]) -> str:
    """A row a method."""
    head = ["method"] + [
        f"{what}, {name} epochs" for name in BUDGETS for what in ("avg6", "svt", "best epoch", "core-s")
    ]
    rows = []
    for method, own in content["methods"].items():
        cells = [
            cell
            for name in BUDGETS
            for cell in (
                f"{100 * own[name]['avg6']:.1f}",
                f"{100 * own[name]['svt']:.1f}",
                f"{own[name]['best_epoch']:.0f}",
                f"{own[name]['core_seconds']:.1f}",
            )
        ]
        rows.append([method, *cells, difference({**own["difference"], "shown": 0}, points=True)])
    return markdown([*head, "many minus few, avg6"], rows)


def main() -> None:
    """Measure what has not been measured, method by method; print and keep."""
    parser = command_line(__doc__)
    parser.add_argument("--method", action="append", help="(may be repeated; all that have epochs)")
    parser.add_argument("--out", type=Path, default=Path(".cmarr/epochs"), help="folder of the corpus")
    asked = parser.parse_args()
    place = prepared(TUNING[0], asked.out, 1)
    content = kept(NAME) if (RESULTS / f"{NAME}.json").is_file() else {"methods": {}}
    for method in asked.method or [m for m in METHODS if m not in ONE_PASS]:
        if method not in content["methods"]:
            content["methods"][method] = measured(method, place, asked.out)
            keep(NAME, {**content, "corpus": place.of.name, "machine": machine()})
            print(method, content["methods"][method], flush=True)
    print(table(content))


if __name__ == "__main__":
    main()
