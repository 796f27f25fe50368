"""What of a study MLflow shows, gathered from its files; heavy imports wait until something is logged."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmarr.files import read_json
from cmarr.tracking.results import FoldResult, Results
from stages.paths import Paths

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

OBJECTIVE = {"beta": "beta", "alpha": "alpha", "lambda_": "lambda"}
"""CM-ARR's weights (Eq 14): keyword -> key in params.yaml. They stand in the name of a run."""


def result_of(dataset: str, name: str, data_hash: str, tags: dict[str, str]) -> Results:
    """The finished result of one method, or of one ablation."""
    paths = Paths(dataset)
    settings, report = paths.settings(name), paths.settings("report")
    method = settings["method"]
    folder = paths.metrics / name
    cost = read_json(folder / "cost.json")
    weights = {
        key: settings["settings"][name] for name, key in OBJECTIVE.items() if name in settings["settings"]
    }
    own = {k: v for k, v in settings["settings"].items() if k not in OBJECTIVE}
    return Results(
        dataset=dataset,
        method=method,
        variant="" if name == method else name,
        settings={
            **weights,
            "preset": report["preset"],
            "seeds": settings["seeds"],
            "device": settings["device"],
            "train": settings["train"],
            "method": {method: own},
            "encoders": report["features"],
        },
        metrics={k: v for k, v in read_json(paths.metrics / f"{name}.json").items() if k != "meta"},
        data_hash=data_hash,
        data_path=str(paths.features),
        folds=_folds(folder, cost["trainings"]),
        highlights=weights,
        cost={k: v for k, v in cost.items() if k != "trainings"},
        tables={
            "scores": lambda: _csv(paths.metrics / f"{name}.csv"),
            "folds": lambda: _csv(folder / "folds.csv"),
            "study": lambda: _csv(paths.metrics / "report" / "results.csv"),
            "corpus": lambda: _csv(paths.metrics / "report" / "corpus.csv"),
        },
        figures=_figures(paths, name),
        texts={
            name: (paths.metrics / "report" / name).read_text(encoding="utf-8")
            for name in (
                "results.md",
                "ablations.md",
                "recovery.md",
                "sensitivity.md",
                "corpus.md",
                "costs.md",
            )
        },
        note=(paths.metrics / "report" / "results.md").read_text(encoding="utf-8"),
        tags=tags,
    )


def _folds(folder: Path, trainings: list[dict[str, Any]]) -> list[FoldResult]:
    metrics: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for row in _rows(folder / "folds.csv"):
        if row["value"]:
            key = int(row["fold"]), int(row["seed"])
            metrics[key][f"{row['metric']}/{row['condition']}"] = float(row["value"])
    curves: dict[tuple[int, int], list[tuple[int, str, float]]] = defaultdict(list)
    for row in _rows(folder / "curves.csv"):
        key = int(row["fold"]), int(row["seed"])
        curves[key].append((int(row["epoch"]), row["name"], float(row["value"])))
    return [
        FoldResult(t["fold"], t["seed"], metrics[t["fold"], t["seed"]], curves[t["fold"], t["seed"]], t)
        for t in trainings
    ]


def _figures(paths: Paths, method: str) -> dict[str, Any]:
    def confusion() -> "Figure":
        from cmarr.evaluation.predictions import read_folder
        from cmarr.methods.protocol import Task
        from cmarr.report.confusion import confusion_figure

        task = Task(tuple(paths.settings(method)["classes"]))
        return confusion_figure(read_folder(paths.predictions(method)), task, title=f"Confusion of {method}")

    def curves() -> "Figure":
        from cmarr.report.curves import curves_figure

        score = "UAR" if paths.settings(method)["classes"] else "MAE"
        return curves_figure(
            _csv(paths.metrics / method / "curves.csv"), title=f"Training of {method}", score=score
        )

    drawn: dict[str, Any] = {
        "results": paths.metrics / "report" / "figures" / "results.png",
        "curves": curves,
    }
    if paths.settings(method)["classes"]:
        drawn["confusion"] = confusion
    return drawn


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def _csv(path: Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(path)
