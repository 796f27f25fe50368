"""What the claim found, small enough for git: results/claim/<size>.json, and its tables as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claim.corpora import Corpus
from benchmarks.claim.plan import DETERMINISTIC, OURS
from benchmarks.claim.runs import answers, costs
from benchmarks.machine import machine
from cmarr.evaluation.comparison import compare_all, turned
from cmarr.evaluation.predictions import task_of
from cmarr.evaluation.scores import primary
from cmarr.evaluation.summary import summarise
from cmarr.files import read_json, write_json
from cmarr.report.table import markdown_table

RESULTS = Path("results/claim")
ROWS = ("avg6", "svt")


def keep(size: str, corpora: Sequence[Corpus], methods: Sequence[str], out: Path) -> None:
    """Score and compare what was answered so far, and write it to results/."""
    found = answers(corpora, methods, out)
    whole = max(len({int(f["fold"].iloc[0]) for f in frames}) for frames in found.values())
    found = {m: own for m, own in found.items() if len({int(f["fold"].iloc[0]) for f in own}) == whole}
    task = task_of(next(iter(found.values()))[0])
    metric = primary(task)
    compared = compare_all(found, task, deterministic=DETERMINISTIC)
    content: dict[str, Any] = {
        "size": size,
        "metric": metric,
        "corpora": [c.name for c in corpora],
        "methods": {},
    }
    for method, frames in found.items():
        summary, spent = summarise(frames, task), costs(corpora, method, out)
        content["methods"][method] = {
            "seeds": len({int(frame["seed"].iloc[0]) for frame in frames}),
            **{row: summary[metric][row]["mean"] for row in ROWS},
            "core_seconds": float(np.mean([one["core_seconds"] for one in spent])),
            "peak_memory_mb": max(one["peak_memory_bytes"] for one in spent) / 2**20,
        }
    content["clusters"] = summary["meta"]["clusters"]
    content["against"] = (
        {
            other: {row: _ours(compared, other)[metric][row] for row in ROWS}
            for other in found
            if other != OURS
        }
        if OURS in found
        else {}
    )
    content["machine"] = machine()
    write_json(RESULTS / f"{size}.json", content)
    print(table(content))


def _ours(compared: Mapping[tuple[str, str], Mapping[str, Any]], other: str) -> dict[str, Any]:
    """Ours minus the other."""
    if (OURS, other) in compared:
        return dict(compared[OURS, other])
    cells = compared[other, OURS]
    return {m: {row: turned(cell) for row, cell in own.items()} for m, own in cells.items() if m != "meta"}


def table(content: Mapping[str, Any]) -> str:
    """A row a method: its scores, ours minus its, what a training takes."""
    points = content["metric"] == "UAR"
    rows = []
    for method, own in content["methods"].items():
        row = {"method": method, "seeds": own["seeds"]}
        row |= {f"{content['metric']} {name}": _told(own[name], points) for name in ROWS}
        for name in ROWS:
            cell = content["against"].get(method, {}).get(name)
            row[f"{OURS} minus it, {name}"] = "" if cell is None else _difference(cell, points)
        row |= {"core-s": f"{own['core_seconds']:.1f}", "MB": f"{own['peak_memory_mb']:.0f}"}
        rows.append(row)
    return markdown_table(pd.DataFrame(rows))


def _told(value: float, points: bool) -> str:
    return f"{100 * value:.1f}" if points else f"{value:.3f}"


def _difference(cell: Mapping[str, Any], points: bool) -> str:
    if cell["difference"] is None:
        return "-"
    scale, digits = (100, 1) if points else (1, 3)
    one, lo, hi = (
        f"{scale * cell[k]:+.{digits}f}" if cell[k] is not None else "?" for k in ("difference", "lo", "hi")
    )
    told = {1: ", better", -1: ", worse", 0: ""}[cell["shown"]]
    return f"{one} [{lo}, {hi}]{told}"


def claim(name: str) -> str:
    """The table of a size, or that it was not run; a block of docs/claim.md."""
    path = RESULTS / f"{name}.json"
    return (
        table(read_json(path))
        if path.is_file()
        else f"*Not run yet: `python -m benchmarks.claim run --size {name}`.*"
    )
