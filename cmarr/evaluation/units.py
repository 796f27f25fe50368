"""The units of evaluation: what the model of a fold and a seed answers; here in turn, or on the nodes of a cluster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cmarr.damage.tables import read_damaged
from cmarr.data.load import by_id, load_store
from cmarr.evaluation.predicting import Run, damaged_predictions, runs
from cmarr.evaluation.predictions import NORMALISE, PRIVILEGES, predictions_path, write_predictions
from cmarr.evaluation.spread import spread_frame
from cmarr.execution.jobs import run_jobs
from cmarr.execution.ray import Cluster, most_cores
from cmarr.features.shards import load_features
from cmarr.folds.files import read_folds
from cmarr.masks.files import read_description, read_masks
from cmarr.masks.protocols import MASKED
from cmarr.methods.inference import spreads
from cmarr.methods.protocol import ClosedForm
from cmarr.task import Task


@dataclass(frozen=True)
class Evaluation:
    """Where a method's models and their corpus lie, where the predictions go, and how they are made.

    resampled:  what is resampled for an interval, 'speaker' or 'dialogue'
    privileged: whether models that were trained with privileges are taken (`cmarr.folds.privileges`)
    """

    label: str
    models: Path
    manifest: Path
    features: Path
    damaged: Path
    folds: Path
    masks: Path
    predictions: Path
    task: Task
    seeds: Sequence[int]
    resampled: str
    device: str
    privileged: bool = False

    def answers(self, cluster: Cluster | None = None) -> Iterator["Answers"]:
        """What every model answers, fold by fold and seed by seed; written to `predictions`. Raises UserError."""
        if cluster is None:
            yield from _answers(self)
            return
        jobs = [(self, fold.number, seed) for fold in read_folds(self.folds) for seed in self.seeds]
        threads = torch.get_num_threads()  # as here, whatever a node has: sums depend on it
        if cluster.cpus == "auto":
            cluster = replace(cluster, cpus=min(threads, most_cores(cluster)))
        yield from run_jobs(
            _answered,
            jobs,
            workers=1,
            threads=threads,
            label=self.label,
            unit="model",
            units_per_job=1,
            device=self.device,
            cluster=cluster,
        )


@dataclass(frozen=True)
class Answers:
    """What one model answered.

    frame: its predictions, as they were written. prior: of its fold's training split. damaged: the kinds of damage that
    were tried, `spread` what its representations spread by under these. closed_form: it was not trained in steps.
    """

    fold: int
    frame: pd.DataFrame
    prior: list[float]
    damaged: list[str]
    spread: list[pd.DataFrame]
    closed_form: bool


def _answered(job: tuple[Evaluation, int, int], tick: Callable[[], None]) -> Answers:
    evaluation, fold, seed = job
    (answers,) = _answers(replace(evaluation, seeds=[seed]), fold)
    tick()
    return answers


def _answers(of: Evaluation, number: int | None = None) -> Iterator[Answers]:
    features = load_features(of.features)
    damaged, described = read_damaged(of.damaged, features), read_description(of.masks)
    masks = {own: read_masks(of.masks, own) for own in MASKED if own in described["protocols"]}
    utterances = by_id(of.manifest) if damaged else {}
    folds = [fold for fold in read_folds(of.folds) if number in (None, fold.number)]
    about: dict[str, Any] = {"task": of.task, "cluster": of.resampled, "masks": masks, "device": of.device}
    for one in runs(of.models, of.manifest, features, folds, of.seeds, **about, privileged=of.privileged):
        parts, spread = one.parts, list[pd.DataFrame]()
        if damaged:
            run_of: dict[str, Any] = {"fold": one.fold.number, "seed": one.seed}
            rows, spread = damaged_predictions(one.predict, one.model, one.store, damaged, run_of)
            parts = [*parts, *rows]
            calm = load_store(one.fold.validation, utterances, features, of.task).to(of.device)
            for role, clean in (("test", one.store), ("validation", calm)):
                values = spreads(one.model.method, one.model.normaliser, clean)
                spread.append(spread_frame(clean.ids, values, role, **run_of))
        yield _written(of, one, parts, list(damaged), spread)


def _written(
    of: Evaluation, one: Run, parts: list[pd.DataFrame], damaged: list[str], spread: list[pd.DataFrame]
) -> Answers:
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs[NORMALISE] = one.model.normaliser.how
    frame.attrs[PRIVILEGES] = " ".join(one.model.description.get("privileges", ()))
    write_predictions(predictions_path(of.predictions, one.fold.number, one.seed), frame, of.task)
    closed_form = isinstance(one.model.method, ClosedForm)
    return Answers(one.fold.number, frame, one.model.prior.tolist(), damaged, spread, closed_form)
