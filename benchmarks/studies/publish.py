"""From a finished study in data/ and metrics/ to the file that git keeps."""

import datetime
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import processor
from benchmarks.studies.plan import Planned
from benchmarks.studies.tallies import packed
from cmarr.analyses.study import Study, training_time
from cmarr.errors import UserError
from cmarr.evaluation.summary import DIGITS, fold_table
from cmarr.files import digest, read_json
from cmarr.modalities import CONDITIONS
from cmarr.report.notes import describe_selection
from stages.paths import Paths
from stages.report import study_of
from stages.settings import ASIDE

PRINTED = {False: ("UAR", "WAR"), True: ("MAE", "Corr", "WF1", "Acc7", "Acc2_zero")}
"""Metrics whose paired comparisons and single scores are kept: of classes, of a score."""


def content(planned: Planned) -> dict[str, Any]:
    """What is kept of a study that has been run in this folder, see `benchmarks.studies.store`."""
    study = study_of(planned.dataset)
    metrics = PRINTED[study.task.regression]
    every = {**study.frames, **{name: study.predictions(name) for name in study.labels}}
    return {
        "study": planned.name,
        "command": planned.command,
        "set": dict(planned.set),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "made_of": made_of(planned.dataset),
        "task": about(study),
        "costs": {name: round(training_time(cost), 1) for name, cost in study.costs.items()},
        "summaries": {
            name: {key: summary[key] for key in (*metrics, "meta")}
            for name, summary in study.summaries.items()
        },
        "comparisons": {
            ", ".join(pair): {key: cells[key] for key in (*metrics, "meta")}
            for pair, cells in study.comparisons.items()
        },
        "scores": {name: scores(frames, study, metrics) for name, frames in every.items()},
        "tallies": {name: packed(frames, study.task) for name, frames in every.items()},
        "tables": {name: part(study, name) for name in planned.tables},
    }


def about(study: Study) -> dict[str, Any]:
    """What was asked, of whom, by which rules."""
    return {
        "dataset": study.dataset,
        "classes": list(study.task.classes),
        "cluster": study.cluster,
        "plain": study.plain,
        "folds": study.fold_rule,
        "selection": describe_selection(study.settings, study.task),
        "features": study.features,
        "seeds": list(study.settings["seeds"]),
    }


def made_of(dataset: str, root: Path = Path()) -> dict[str, str]:
    """Digests of what the answers hang on, settings and code of every stage, and of the same of the report."""
    folder = root / Paths(dataset).data / "settings"
    files = {str(path.relative_to(folder)): read_json(path) for path in sorted(folder.rglob("*.json"))}
    if "report.json" not in files:
        raise UserError(f"{folder}: holds no settings of a study; `dvc repro` writes them")
    report = files.pop("report.json")
    for name in ASIDE:
        files.pop(f"{name}.json", None)
    return {"answers": digest(files), "report": digest(report)}


def commit() -> str:
    """The revision, '+' behind it where code that git knows has changed since; params.yaml is told by `set`."""

    def git(*arguments: str) -> str:
        found = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return found.stdout.strip()

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", "cmarr", "stages", "presets", "dvc.yaml"
    )
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if changed else "")


def machine() -> dict[str, str]:
    """What rounds: the family of the processor, its widest arithmetic, and the versions."""
    import platform

    import scipy
    import sklearn

    return {
        "processor": processor(),
        "arithmetic": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }


def scores(frames: Sequence[Any], study: Study, metrics: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row a fold and seed: each metric under the seven conditions, in their order."""
    rows = []
    for (fold, seed), own in fold_table(frames, study.task).groupby(["fold", "seed"], sort=True):
        row: dict[str, Any] = {"fold": int(fold), "seed": int(seed)}
        for metric in metrics:
            values = own[own["metric"] == metric].set_index("condition")["value"]
            row[metric] = [_rounded(values.get(c)) for c in CONDITIONS]
        rows.append(row)
    return rows


def _rounded(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), DIGITS)


def part(study: Study, name: str) -> str:
    """A section or a table of the report as it was written, without title and pictures."""
    report = Path(study.at.metrics) / "report"
    for path in (report / f"{name}.md", report / "tables" / f"{name}.md"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            return re.sub(r"^## .*\n|^!\[.*\n|(?<=\n)\n+(?=\n)", "", text, flags=re.MULTILINE).strip()
    there = ", ".join(sorted({p.stem for p in report.rglob("*.md")}))
    raise UserError(f"{report}: the report has no part {name}; it has {there}")
