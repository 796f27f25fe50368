"""What is mirrored: the finished result of one method on one dataset, or of a whole study, as plain values."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cmarr import files

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Table: TypeAlias = "pd.DataFrame | Callable[[], pd.DataFrame]"
Drawing: TypeAlias = "Figure | Path | Callable[[], Figure | Path]"
"""A function is called only when the result is really logged: a repeated tracking draws nothing.
A figure may be the path of an image."""

AVERAGES = ("avg6", "avg7")
"""The entries whose spread is mirrored too; for single conditions it stays in the tables."""

SPREAD = ("std", "std_seeds", "lo", "hi")

STUDY = "study"
"""What stands for the method in the result of a whole study."""


@dataclass(frozen=True)
class FoldResult:
    """One training: one fold and one seed.

    metrics: 'UAR/st' -> score; None where the condition cannot be met
    curves:  (epoch, name, value), one entry per epoch and curve
    cost:    seconds, peak memory, parameters; may be nested, what is not a number is left out
    tables, figures: of this fold alone
    """

    fold: int
    seed: int
    metrics: Mapping[str, float | None]
    curves: Sequence[tuple[int, str, float]] = ()
    cost: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: Mapping[str, Drawing] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """One method on one dataset with one set of parameters: everything its run in MLflow shows.

    The study that compares the methods is a result of its own (`method` STUDY): its metrics have the method's
    name in front ('cmarr/UAR/avg6'), its files are the report.

    settings:   resolved settings, nested as they are; they become params with dotted names
    metrics:    the summary over folds, {'UAR': {'st': {'mean', 'std', 'lo', 'hi', 'n'}}}
    headline:   the few of them that are logged, {'UAR': {'st': mean}}, the rest stays in the tables; empty: all are
    data_hash:  hash of the data the result was computed from (MLflow keeps 36 characters of it)
    data_path:  where that data lies, as a person would look for it
    variant:    name of the ablation; empty for the whole method
    highlights: the few params that tell this run from its neighbours; they go into its name
    cost:       as in `FoldResult`, summed up over the folds
    tables, figures: by name, the same in every run: equal names are set side by side
    texts:      by file name ('table2.md')
    files:      path among the artifacts ('report/index.html') -> the file that is copied there
    note:       Markdown shown at the head of the run's page
    tags:       further tags: git commit ('git_commit'), experiment name, ...
    """

    dataset: str
    method: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    data_hash: str
    data_path: str = ""
    variant: str = ""
    headline: Mapping[str, Any] = field(default_factory=dict)
    folds: Sequence[FoldResult] = ()
    highlights: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: Mapping[str, Drawing] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    note: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float]:
        """What is logged as metrics, by name ('UAR/st')."""
        if not self.headline:
            return summary(self.metrics)
        return numbers({"/".join(path): value for path, value in leaves(self.headline)})

    def scores_of(self, fold: FoldResult) -> dict[str, float]:
        """The same of one fold and seed."""
        known = self.scores if self.headline else fold.metrics
        return numbers({name: value for name, value in fold.metrics.items() if name in known})

    @property
    def name(self) -> str:
        """The run's name: 'cmarr beta=0.5', 'cmarr no-umc beta=0.5'."""
        parts = [self.method, self.variant, *(f"{key}={text(v)}" for key, v in self.highlights.items())]
        return " ".join(part for part in parts if part)


def content_hash(results: Results) -> str:
    """SHA-256 of what makes a result this result: whose it is, its settings, its data and its scores.

    Commit, experiment name, figures and costs are left out: the same scores found again by another
    commit, or restored from a cache, are the same result.
    """
    return files.digest(
        {
            "dataset": results.dataset,
            "method": results.method,
            "variant": results.variant,
            "settings": results.settings,
            "metrics": results.metrics,
            "data": results.data_hash,
        }
    )


def params(settings: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as dotted params: {'train': {'lr': 0.1}} -> {'train.lr': '0.1'}."""
    return {".".join(path): text(value) for path, value in leaves(settings)}


def summary(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Means as 'UAR/st', and for the averages the spread as 'UAR/avg6/std'; what has no value is left out."""
    flat = {}
    for path, value in leaves(metrics):
        *name, statistic = path
        if statistic == "mean":
            flat["/".join(name)] = value
        elif statistic in SPREAD and name and name[-1] in AVERAGES:
            flat["/".join(path)] = value
    return numbers(flat)


def costs(cost: Mapping[str, Any]) -> dict[str, float]:
    """Costs as 'cost/seconds'; what is not a number is left out."""
    return numbers({"/".join(("cost", *path)): value for path, value in leaves(cost)})


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The entries that are finite numbers."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def mean_curves(folds: Sequence[FoldResult]) -> list[tuple[int, str, float]]:
    """Per epoch and curve the mean over the folds that reached this epoch."""
    values: dict[tuple[int, str], list[float]] = {}
    for fold in folds:
        for epoch, name, value in fold.curves:
            if math.isfinite(value):
                values.setdefault((epoch, name), []).append(value)
    return [(epoch, name, math.fsum(v) / len(v)) for (epoch, name), v in values.items()]


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of nested mappings that is not itself a mapping, with the keys that lead to it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def text(value: Any) -> str:
    """A param as a person reads it: text bare, a list as its members with commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return json.dumps(value, sort_keys=True)
