"""A study: what every method of one dataset answered, scored and compared, ready to be shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmarr.evaluation.comparison import compare_all
from cmarr.evaluation.predictions import predictions_path, read_predictions
from cmarr.evaluation.summary import summarise
from cmarr.files import read_json
from cmarr.masks.protocols import FIXED
from cmarr.task import Task


@dataclass(frozen=True)
class Study:
    """Everything by method, in the order of the tables.

    frames:      predictions, one frame a fold and seed
    summaries:   `cmarr.evaluation.summary.summarise` of them
    comparisons: (method, other) -> their comparison, see `cmarr.evaluation.comparison.compare_all`
    costs:       the cost.json of training, the times of what a method starts from added to its own
    curves:      learning curves: fold, seed, epoch, name, value
    """

    dataset: str
    task: Task
    frames: Mapping[str, Sequence[pd.DataFrame]]
    summaries: Mapping[str, Mapping[str, Any]]
    comparisons: Mapping[tuple[str, str], Mapping[str, Any]]
    costs: Mapping[str, Mapping[str, Any]]
    curves: Mapping[str, pd.DataFrame]


def load_study(
    dataset: str,
    task: Task,
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    predictions: str | Path,
    metrics: str | Path,
    folds: Sequence[int],
) -> Study:
    """Read a study: predictions from `predictions`/<method>/, costs and curves from `metrics`/<method>/.

    Only the named methods, folds and seeds are read: files that an earlier study left are not.
    Raises UserError for predictions that are not there.
    """
    frames = {method: read_answers(predictions, method, folds, seeds) for method in methods}
    return Study(
        dataset=dataset,
        task=task,
        frames=frames,
        summaries={method: summarise(frames[method], task) for method in methods},
        comparisons=compare_all(frames, task),
        costs={method: read_cost(Path(metrics) / method) for method in methods},
        curves={method: pd.read_csv(Path(metrics) / method / "curves.csv") for method in methods},
    )


def read_cost(folder: Path) -> dict[str, Any]:
    """What the training of a method cost; a model that it starts from (pretrain.json) has to be trained, too."""
    cost, first = read_json(folder / "cost.json"), folder / "pretrain.json"
    if first.is_file():
        before = read_json(first)
        cost = cost | {key: cost[key] + before[key] for key in ("seconds", "core_seconds")}
    return cost


def training_time(cost: Mapping[str, Any]) -> float:
    """What methods are compared by: core-seconds where a CPU trained, seconds where a GPU did."""
    on_cpu = all(training["device"] == "cpu" for training in cost["trainings"])
    return float(cost["core_seconds" if on_cpu else "seconds"])


def read_answers(
    predictions: str | Path,
    name: str,
    folds: Sequence[int],
    seeds: Sequence[int],
    protocol: str | None = FIXED,
) -> list[pd.DataFrame]:
    """The predictions of one method or ablation, one frame a fold and seed; raises UserError without them.

    They are those of one protocol, or of all (None).
    """
    folder = Path(predictions) / name
    return [
        read_predictions(predictions_path(folder, fold, seed), protocol) for fold in folds for seed in seeds
    ]
