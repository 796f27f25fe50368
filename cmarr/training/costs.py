"""What training leaves for a person to read: curves, one row a value, and what it cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cmarr.files import atomic, write_json


def write_curves(path: str | Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Learning curves as CSV: fold, seed, epoch, name ('loss/udcl', 'validation/st'), value."""
    rows = [
        (outcome["fold"], outcome["seed"], epoch, name, value)
        for outcome in outcomes
        for epoch, curve in enumerate(outcome["curves"], 1)
        for name, value in curve.items()
    ]
    with atomic(path) as temporary:
        pd.DataFrame(rows, columns=["fold", "seed", "epoch", "name", "value"]).to_csv(temporary, index=False)


def write_mean_curves(path: str | Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Learning curves averaged over the trainings, as CSV for DVC's plots: epoch, one column a name.

    An epoch that fewer than half of the trainings reached is left out: it would show the survivors only.
    """
    longest = max(len(outcome["curves"]) for outcome in outcomes)
    rows = []
    for epoch in range(longest):
        reached = [o["curves"][epoch] for o in outcomes if epoch < len(o["curves"])]
        if 2 * len(reached) >= len(outcomes):
            mean = {name: sum(curve[name] for curve in reached) / len(reached) for name in reached[0]}
            losses = [v for name, v in mean.items() if name.startswith("loss/") and not name.endswith("norm")]
            rows.append({"epoch": epoch + 1, "loss": sum(losses), **mean})
    with atomic(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def write_costs(path: str | Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Seconds, peak memory and parameters, in all and for each training.

    `seconds` is the sum over trainings (they may run side by side), `peak_memory_bytes` the largest.
    """
    kept = ("fold", "seed", "seconds", "epochs", "best_epoch", "parameters", "peak_memory_bytes", "device")
    write_json(
        path,
        {
            "seconds": sum(o["seconds"] for o in outcomes),
            "peak_memory_bytes": max(o["peak_memory_bytes"] for o in outcomes),
            "parameters": max(o["parameters"] for o in outcomes),
            "trainings": [{key: o[key] for key in kept} for o in outcomes],
        },
    )
