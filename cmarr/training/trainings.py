"""All trainings of one method or ablation: every fold with every seed, after a search where there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cmarr.device import memory_limit
from cmarr.execution.jobs import run_jobs
from cmarr.execution.local import worker_count
from cmarr.execution.ray import Cluster
from cmarr.features.shards import load_features, size_of_features
from cmarr.files import put_in_place
from cmarr.folds.files import read_folds
from cmarr.folds.privileges import PER_CONDITION
from cmarr.methods.described import require_model
from cmarr.modalities import CONDITIONS
from cmarr.task import Task
from cmarr.training.job import TrainingJob, run_job


@dataclass(frozen=True)
class Trainings:
    """What the trainings of a method share, and where they run.

    label:       stands before the progress bar
    settings:    of the method, as `cmarr.settings.resolve` gives them
    manifest, features, folds: the corpus
    device, workers, memory: what the machine allows; workers and memory may be 'auto'
    cluster:     None: processes of this machine
    starts_from: the folder of the models that the method starts from, if it starts from any
    finetune:    how encoders are trained along, their files in place; empty where all are frozen
    """

    label: str
    settings: Mapping[str, Any]
    manifest: Path
    features: Path
    folds: Path
    device: str = "cpu"
    workers: int | str = "auto"
    memory: float | str = "auto"
    cluster: Cluster | None = None
    starts_from: Path | None = None
    finetune: Mapping[str, Any] = field(default_factory=dict)

    def run(self, folder: Path, target: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Train, and copy the models to `target`; what is unfinished lies in `folder`, and is gone on with.

        Where there are several trials, each fold tries them with the first seed, and takes the one with the best
        validation score. Returns the outcomes of the trainings; and the trials', where there was a choice.
        """
        folds = [fold.number for fold in read_folds(self.folds)]
        chosen, search = dict.fromkeys(folds, 0), list[dict[str, Any]]()
        if len(self.settings["trials"]) > 1:
            search = self.tried(folds, folder)
            for fold in folds:  # ties to the earliest trial
                own = [entry for entry in search if entry["fold"] == fold]
                chosen[fold] = max(own, key=lambda entry: entry["score"])["trial"]
        jobs = [self.job(folder, f, seed, chosen[f]) for seed in self.settings["seeds"] for f in folds]
        outcomes = self.outcomes(jobs)
        for done in jobs:  # the folder stays whole until all is in place
            made = done.folder / f"{done.name}.safetensors"
            require_model(made)
            put_in_place(made, target / made.name)
        return outcomes, search

    @cached_property
    def side_by_side(self) -> int:
        """Processes side by side; one where they would share a GPU."""
        threads = self.settings["train"]["threads"]
        return 1 if self.device != "cpu" else worker_count(self.workers, threads)

    @cached_property
    def fits(self) -> bool:
        """Whether one training may hold all features."""
        # a cluster's GPUs need not be here to be asked
        device = self.device if self.cluster is None else "cpu"
        return size_of_features(self.features) <= memory_limit(self.memory, device, self.side_by_side)

    @cached_property
    def conditions(self) -> int:
        """How many conditions are trained for apart."""
        if PER_CONDITION not in self.settings.get("privileges", ()):
            return 1
        known = set(load_features(self.features))
        return sum(set(condition) <= known for condition in CONDITIONS)

    def job(self, folder: Path, fold: int, seed: int, trial: int, search: bool = False) -> TrainingJob:
        """One training; what it leaves unfinished lies in `folder`. A search only chooses: it is not refitted."""
        settings, trials = self.settings, self.settings["trials"]
        own = {"refit": False, "selection_folds": 1} if search else {}
        final = _trainings(settings["train"]) > 1 and not search and len(trials) > 1
        place = folder / "refitted" if final else folder
        return TrainingJob(
            method=settings["method"],
            fold=fold,
            seed=seed,
            settings=settings["settings"] | trials[trial].get("settings", {}),
            train=settings["train"] | trials[trial].get("train", {}) | own,
            task=Task(tuple(settings["classes"])),
            device=self.device,
            manifest=self.manifest,
            features=self.features,
            folds=self.folds,
            folder=place / f"trial{trial}" if len(trials) > 1 else place,
            first_stage=settings.get("first_stage", False),
            starts_from=self.starts_from,
            finetune=self.finetune,
            unpacked=None if self.fits else folder / "unpacked",
            normalise=settings.get("normalise", "corpus"),
            privileges=tuple(settings.get("privileges", ())),
        )

    def outcomes(self, jobs: Sequence[TrainingJob]) -> list[dict[str, Any]]:
        """Run them; what each came to, in their order."""
        train = self.settings["train"]
        return run_jobs(
            run_job,
            jobs,
            workers=self.side_by_side,
            threads=train["threads"],
            label=self.label,
            unit="epoch",
            units_per_job=train["epochs"] * _trainings(jobs[0].train) * self.conditions,
            device=self.device,
            cluster=self.cluster,
        )

    def tried(self, folds: Sequence[int], folder: Path) -> list[dict[str, Any]]:
        """The score of every trial on the validation data of every fold, with the first seed."""
        trials, seed = self.settings["trials"], self.settings["seeds"][0]
        tried = [(trial, fold) for trial in range(len(trials)) for fold in folds]
        scored = self.outcomes([self.job(folder, fold, seed, trial, search=True) for trial, fold in tried])
        return [
            {"trial": trial, "fold": fold, "score": outcome["best_score"], "set": trials[trial]}
            for (trial, fold), outcome in zip(tried, scored, strict=True)
        ]


def _trainings(train: Mapping[str, Any]) -> int:
    """How often a method is trained for one result: on each inner fold, and anew on everything."""
    inner: int = train["selection_folds"]
    return inner + (1 if inner > 1 or train["refit"] else 0)
