"""What of a study MLflow shows, gathered from its files; heavy imports wait until something is logged."""

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmarr.files import digest, file_digest, read_json
from cmarr.masks.protocols import UNSEEN
from cmarr.modalities import CONDITIONS
from cmarr.tracking.results import STUDY, FoldResult, Results
from stages.paths import Paths

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

EVALUATED = ("folds", "protocols", "calibration", "calibration_scores", "risk_coverage", "importance")
"""Tables that evaluation leaves in metrics/<dataset>/<method>/."""
SHARED = ("robustness", "calibration", "risk", "importance", "damage")
"""How the names of figures begin that show every method."""

OBJECTIVE = {"beta": "beta", "alpha": "alpha", "lambda_": "lambda"}
"""CM-ARR's weights (Eq 14): keyword -> key in params.yaml. They stand in the name of a run."""


def result_of(dataset: str, name: str, data_hash: str, tags: dict[str, str]) -> Results:
    """The finished result of one method, or of one ablation."""
    paths = Paths(dataset)
    settings, report = paths.settings(f"train/{name}"), paths.settings("report")
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
        metrics=_metrics(read_json(paths.metrics / f"{name}.json"), read_json(folder / "protocols.json")),
        data_hash=data_hash,
        data_path=str(paths.features),
        folds=_folds(paths, name, cost["trainings"]),
        highlights=weights,
        cost={k: v for k, v in cost.items() if k != "trainings"},
        tables={
            "scores": lambda: _csv(paths.metrics / f"{name}.csv"),
            **{one: _table(folder / f"{one}.csv") for one in EVALUATED if (folder / f"{one}.csv").is_file()},
        },
        figures=_figures(paths, name),
        texts={page.name: page.read_text(encoding="utf-8") for page in _pages(paths)},
        files={f"figures/{path.name}": path for path in _shared_figures(paths)},
        note=(paths.metrics / "report" / "results.md").read_text(encoding="utf-8"),
        tags=tags,
    )


def study_result(dataset: str, results: Sequence[Results], data_hash: str, tags: dict[str, str]) -> Results:
    """The study that compares these results: its page, and every table and figure of it."""
    paths = Paths(dataset)
    settings, report = paths.settings("report"), paths.metrics / "report"
    tables = sorted((report / "tables").glob("*.csv"))
    shown = {path.stem: file_digest(path) for path in tables if path.stem != "costs"}
    return Results(
        dataset=dataset,
        method=STUDY,
        settings={
            **{key: settings[key] for key in ("preset", "methods", "seeds", "selection")},
            "ablate": [ablation["name"] for ablation in settings["ablations"]],
            "recovery": settings["recovery"],
            "tables_sha256": digest(shown),  # a point of Figure 4 more is another report of the same scores
        },
        metrics={one.variant or one.method: one.metrics for one in results},
        data_hash=data_hash,
        data_path=str(paths.features),
        tables={
            "scores": lambda: _csv(report / "results.csv"),
            **{path.stem: _table(path) for path in tables if not path.stem.startswith("settings-")},
        },
        texts={page.name: page.read_text(encoding="utf-8") for page in _pages(paths)},
        files={
            str(path.relative_to(report)): path
            for path in (
                report / "index.html",
                *(report / "tables").iterdir(),
                *(report / "figures").iterdir(),
            )
            if path.is_file()
        },
        note=(report / "results.md").read_text(encoding="utf-8"),
        tags=tags,
    )


def _metrics(fixed: dict[str, Any], protocols: dict[str, Any]) -> dict[str, Any]:
    """Metric -> row -> cell: the seven conditions and their averages, and each level as 'rate0.3'.

    Of the protocol 'unseen' the means alone, as 'unseen' and 'seen': its conditions stand there already.
    """
    metrics = {metric: dict(cells) for metric, cells in fixed.items() if metric != "meta"}
    for protocol, told in protocols["protocols"].items():
        for level, cells in told["levels"].items():
            row = level if protocol == UNSEEN else f"{protocol}{level}"
            for metric, cell in cells.items():
                metrics[metric].setdefault(row, cell)
    return metrics


def _folds(paths: Paths, name: str, trainings: list[dict[str, Any]]) -> list[FoldResult]:
    folder = paths.metrics / name
    metrics: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for row in _rows(folder / "folds.csv"):
        if row["value"]:
            key = int(row["fold"]), int(row["seed"])
            metrics[key][f"{row['metric']}/{row['condition']}"] = float(row["value"])
    curves: dict[tuple[int, int], list[tuple[int, str, float]]] = defaultdict(list)
    for row in _rows(folder / "curves.csv"):
        key = int(row["fold"]), int(row["seed"])
        curves[key].append((int(row["epoch"]), row["name"], float(row["value"])))
    out = []
    for training in trainings:
        key = training["fold"], training["seed"]
        shown = _fold_shown(paths, name, *key)
        out.append(FoldResult(*key, metrics[key], curves[key], training, *shown))
    return out


def _fold_shown(paths: Paths, name: str, fold: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables and figures of one fold and seed, made when they are logged."""

    @cache
    def answered() -> tuple["pd.DataFrame", Any]:
        from cmarr.analyses.confusion import confusion_rows
        from cmarr.evaluation.predictions import predictions_path, read_predictions
        from cmarr.task import Task

        task = Task(tuple(paths.settings(f"train/{name}")["classes"]))
        file = predictions_path(paths.predictions(name), fold, seed)
        return confusion_rows(read_predictions(file), task), task

    def confusion() -> "pd.DataFrame":
        rows, _ = answered()
        return rows.groupby(["condition", "actual", "predicted"], sort=False).size().reset_index(name="n")

    def drawn() -> "Figure":
        from cmarr.analyses.confusion import confusion_counts, confusion_panel

        rows, task = answered()
        most = [c for c in CONDITIONS if c in set(rows["condition"])][-1:]  # svt, or what comes nearest to it
        return confusion_panel(confusion_counts(rows[rows["condition"].isin(most)], task), task)

    if not paths.settings(f"train/{name}")["classes"]:
        return {}, {}  # a fold's scores are metrics of its run
    return {"confusion": confusion}, {"confusion": drawn}


def _figures(paths: Paths, method: str) -> dict[str, Any]:
    def confusion() -> "Figure":
        from cmarr.analyses.confusion import confusion_figure
        from cmarr.evaluation.predictions import read_folder
        from cmarr.task import Task

        task = Task(tuple(paths.settings(f"train/{method}")["classes"]))
        return confusion_figure(read_folder(paths.predictions(method)), task, title=f"Confusion of {method}")

    def curves() -> "Figure":
        from cmarr.analyses.learning import curves_figure

        score = "UAR" if paths.settings(f"train/{method}")["classes"] else "MAE"
        return curves_figure(
            _csv(paths.metrics / method / "curves.csv"), title=f"Training of {method}", score=score
        )

    drawn: dict[str, Any] = {"results": paths.metrics / "report" / "figures" / "results.png"}
    if any(int(row["epoch"]) > 1 for row in _rows(paths.metrics / method / "curves.csv")):
        drawn["curves"] = curves
    if paths.settings(f"train/{method}")["classes"]:
        drawn["confusion"] = confusion
    return drawn


def _pages(paths: Paths) -> list[Path]:
    return sorted((paths.metrics / "report").glob("*.md"))


def _shared_figures(paths: Paths) -> list[Path]:
    """The figures of the report that show all methods side by side."""
    found = (paths.metrics / "report" / "figures").glob("*.svg")
    return sorted(path for path in found if path.name.startswith(SHARED))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def _table(path: Path) -> Callable[[], "pd.DataFrame"]:
    return lambda: _csv(path)


def _csv(path: Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(path)
