"""What training leaves for a person to read: curves, one row a value, and what it cost."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmarr.files import atomic
from cmarr.seals import write_json


def write_curves(path: str | Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Learning curves as CSV: fold, seed, epoch, name ('loss/udcl', 'validation/st'), value."""
    rows = [
        (outcome["fold"], outcome["seed"], epoch, name, value)
        for outcome in outcomes
        for epoch, curve in enumerate(outcome["curves"], 1)
        for name, value in curve.items()
    ]
    _write_csv(path, ["fold", "seed", "epoch", "name", "value"], rows)


def write_mean_curves(path: str | Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Learning curves averaged over the trainings, as CSV for DVC's plots: epoch, one column a name.

    An epoch that fewer than half of the trainings reached is left out: it would show the survivors only.
    """
    longest = max(len(outcome["curves"]) for outcome in outcomes)
    rows = []
    for epoch in range(longest):
        reached = [o["curves"][epoch] for o in outcomes if epoch < len(o["curves"])]
        if 2 * len(reached) >= len(outcomes):
            shared = [name for name in reached[0] if all(name in curve for curve in reached)]
            mean = {name: sum(curve[name] for curve in reached) / len(reached) for name in shared}
            losses = [v for name, v in mean.items() if name.startswith("loss/") and not name.endswith("norm")]
            rows.append({"epoch": epoch + 1, "loss": sum(losses), **mean})
    header = list(rows[0])
    _write_csv(path, header, [[row.get(name, "") for name in header] for row in rows])


def write_costs(
    path: str | Path, outcomes: Sequence[Mapping[str, Any]], search: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Times, peak memory and parameters, in all and for each training.

    `seconds` (on the wall) and `core_seconds` are sums over trainings (which may run side by side),
    `peak_memory_bytes` is the largest.
    `search`: where settings were searched, one entry a trial and fold, with what it changed and scored.
    """
    kept = (
        "fold", "seed", "seconds", "core_seconds", "epochs", "best_epoch", "parameters", "peak_memory_bytes", "device",
        "refit_epochs", "inner", "conditions", "privileges",
    )  # fmt: skip
    write_json(
        path,
        {
            "seconds": sum(o["seconds"] for o in outcomes),
            "core_seconds": sum(o["core_seconds"] for o in outcomes),
            "peak_memory_bytes": max(o["peak_memory_bytes"] for o in outcomes),
            "parameters": max(o["parameters"] for o in outcomes),
            "trainings": [{key: o[key] for key in kept if key in o} for o in outcomes],
            **({"search": list(search)} if search else {}),
        },
    )


def _write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened, lineterminator="\n").writerows([header, *rows])
