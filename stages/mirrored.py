"""What of a study MLflow shows, gathered from its files; heavy imports wait until something is logged."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmarr.files import digest, file_digest
from cmarr.folds.privileges import WORD
from cmarr.masks.protocols import UNSEEN
from cmarr.seals import read_json, read_listed, read_listed_csv, read_listed_json
from cmarr.tracking.results import STUDY, FoldResult, Results
from stages.paths import Paths

if TYPE_CHECKING:
    import pandas as pd

OF_TRAINING = ("curves", "learning")
"""Tables of metrics/<dataset>/<method>/ that training leaves there; the others are those of the analyses."""


_AGAIN = "make it again"


class Later(Mapping[str, Any]):
    """A mapping that is made when somebody looks: nothing is drawn for a result that is logged already."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._made = cache(make)

    def __getitem__(self, key: str) -> Any:
        return self._made()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())


def result_of(dataset: str, name: str, data_hash: str, tags: dict[str, str]) -> Results:
    """The finished result of one method, or of one ablation."""
    paths = Paths(dataset)
    settings, report = paths.settings(f"train/{name}"), paths.settings("report")
    method = settings["method"]
    folder = paths.metrics / name
    cost = read_json(folder / "cost.json", _AGAIN)
    objective = dict(report["declared"][method]["objective"])
    weights = {key: settings["settings"][name] for key, name in objective.items()}
    own = {k: v for k, v in settings["settings"].items() if k not in objective.values()}
    privileges = settings.get("privileges", [])
    mark = f"{WORD} " if privileges else ""
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
            **({"privileges": privileges} if privileges else {}),
        },
        metrics=_metrics(_json(paths.metrics / f"{name}.json"), _json(folder / "protocols.json"), mark),
        headline=_json(folder / "headline.json")[name],
        data_hash=data_hash,
        data_path=str(paths.features),
        folds=_folds(paths, name, cost["trainings"], mark),
        highlights=weights | ({WORD: ", ".join(privileges)} if privileges else {}),
        cost={k: v for k, v in cost.items() if k != "trainings"},
        tables={
            "scores": lambda: _csv(paths.metrics / f"{name}.csv"),
            **{p.stem: _table(p) for p in sorted(folder.glob("*.csv")) if p.stem not in OF_TRAINING},
        },
        figures=Later(lambda: _figures(paths, name)),
        texts={page.name: _text(page) for page in _pages(paths)},
        files=Later(lambda: {f"figures/{path.name}": _whole(path) for path in _shared_figures(paths)}),
        note=_text(paths.metrics / "report" / "results.md"),
        tags=tags,
    )


def study_result(dataset: str, results: Sequence[Results], data_hash: str, tags: dict[str, str]) -> Results:
    """The study that compares these results: its page, and every table and figure of it."""
    paths = Paths(dataset)
    settings, report = paths.settings("report"), paths.metrics / "report"
    tables = sorted((report / "tables").glob("*.csv"))
    shown = {path.stem: file_digest(path) for path in tables if not path.stem.startswith("costs")}
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
        headline={one.variant or one.method: one.headline for one in results},
        data_hash=data_hash,
        data_path=str(paths.features),
        tables={
            "scores": lambda: _csv(report / "results.csv"),
            **{path.stem: _table(path) for path in tables if not path.stem.startswith("settings-")},
        },
        texts={page.name: _text(page) for page in _pages(paths)},
        files={
            str(path.relative_to(report)): _whole(path)
            for path in (
                report / "index.html",
                *(report / "tables").iterdir(),
                *(report / "figures").iterdir(),
            )
            if path.is_file()
        },
        note=_text(report / "results.md"),
        tags=tags,
    )


def _metrics(fixed: dict[str, Any], protocols: dict[str, Any], mark: str = "") -> dict[str, Any]:
    """Metric -> row -> cell: the seven conditions and their averages, and each level as 'rate0.3'.

    Of the protocol 'unseen' the means alone, as 'unseen' and 'seen': its conditions stand there already. mark: before
    the name of every metric.
    """
    metrics = {metric: dict(cells) for metric, cells in fixed.items() if metric != "meta"}
    for protocol, told in protocols["protocols"].items():
        for level, cells in told["levels"].items():
            row = level if protocol == UNSEEN else f"{protocol}{level}"
            for metric, cell in cells.items():
                metrics[metric].setdefault(row, cell)
    return {mark + metric: cells for metric, cells in metrics.items()}


def _folds(paths: Paths, name: str, trainings: list[dict[str, Any]], mark: str) -> list[FoldResult]:
    folder = paths.metrics / name
    metrics: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for row in _rows(folder / "folds.csv"):
        if row["value"]:
            key = int(row["fold"]), int(row["seed"])
            metrics[key][f"{mark}{row['metric']}/{row['condition']}"] = float(row["value"])
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


def _fold_shown(paths: Paths, name: str, fold: int, seed: int) -> tuple[Later, Later]:
    """The tables and figures of one fold and seed."""

    @cache
    def shown() -> dict[str, Any]:
        from cmarr.analyses.every import ANALYSES

        run = _run(paths, name, fold, seed)
        return {key: made for a in ANALYSES.values() for key, made in a.training(run).items()}

    def of_kind(ending: str) -> Later:
        return Later(
            lambda: {key.removesuffix(ending): made for key, made in shown().items() if key.endswith(ending)}
        )

    return of_kind(".csv"), of_kind(".svg")


def _figures(paths: Paths, name: str) -> dict[str, Any]:
    """What shows one method, by the analyses that draw it, and the table of all."""
    from cmarr.analyses.every import ANALYSES

    run = _run(paths, name)
    drawn = {key: figure for a in ANALYSES.values() for key, figure in a.method(run).items()}
    return {"results": paths.metrics / "report" / "figures" / "results.png", **drawn}


def _run(paths: Paths, name: str, *training: int) -> Any:
    """A method, or one training of it (fold and seed), as the analyses want it."""
    from cmarr.analyses.analysis import Run
    from cmarr.evaluation.predictions import predictions_path, read_folder, read_predictions
    from cmarr.task import Task

    task, folder = Task(tuple(paths.settings(f"train/{name}")["classes"])), paths.predictions(name)
    frames = [read_predictions(predictions_path(folder, *training))] if training else read_folder(folder)
    return Run(name, task, frames, _csv(paths.metrics / name / "curves.csv"))


def _pages(paths: Paths) -> list[Path]:
    return sorted((paths.metrics / "report").glob("*.md"))


def _shared_figures(paths: Paths) -> list[Path]:
    """The figures of the report that show all methods side by side."""
    from cmarr.analyses.every import ANALYSES

    found = (paths.metrics / "report" / "figures").glob("*.svg")
    shared = tuple(name for name, analysis in ANALYSES.items() if analysis.shared)
    return sorted(path for path in found if path.name.startswith(shared))


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_text(path), newline="")))


def _table(path: Path) -> Callable[[], "pd.DataFrame"]:
    return lambda: _csv(path)


def _csv(path: Path) -> "pd.DataFrame":
    return read_listed_csv(path, _AGAIN)


def _json(path: Path) -> Any:
    return read_listed_json(path, _AGAIN)


def _text(path: Path) -> str:
    return read_listed(path, _AGAIN).decode("utf-8")


def _whole(path: Path) -> Path:
    read_listed(path, _AGAIN)
    return path
