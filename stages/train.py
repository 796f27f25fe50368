"""Train one method, or one ablation of it, on every fold with every seed."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cmarr.device import memory_limit
from cmarr.encoders.registry import placed
from cmarr.execution.jobs import device_of, run_jobs
from cmarr.execution.local import worker_count
from cmarr.features.shards import size_of_features
from cmarr.files import atomic, file_digest, folder_digest
from cmarr.folds.files import read_folds
from cmarr.task import Task
from cmarr.training.costs import write_costs, write_curves, write_mean_curves
from cmarr.training.job import TrainingJob, run_job
from stages.paths import Paths, cluster_of
from stages.resume import unfinished
from stages.stage import root, run


def main(dataset: str, name: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"train/{name}")
    starts_from = settings["starts_from"] and paths.pretrained(settings["starts_from"])

    def write(outcomes: list[dict[str, Any]], search: list[dict[str, Any]]) -> None:
        write_curves(paths.metrics / name / "curves.csv", outcomes)
        write_mean_curves(paths.metrics / name / "learning.csv", outcomes)
        write_costs(paths.metrics / name / "cost.json", outcomes, search)

    label = f"train-{dataset}-{name}"
    for outcome in train(paths, label, settings, paths.models(name), starts_from, write):
        print(
            f"{name} fold {outcome['fold']} seed {outcome['seed']}: kept epoch {outcome['best_epoch']} of "
            f"{outcome['epochs']}, validation score {outcome['best_score']:.3f}, {outcome['seconds']:.1f} s"
        )


def train(
    paths: Paths,
    label: str,
    settings: dict[str, Any],
    target: Path,
    starts_from: Path | None,
    write: Callable[[list[dict[str, Any]], list[dict[str, Any]]], None],
) -> list[dict[str, Any]]:
    """Train on every fold with every seed and copy the models to `target`.

    Where there are several trials, each fold tries them with the first seed, and takes the one with the
    best validation score. Returns the outcomes of the trainings; `write` is given these, and the trials' where there
    was a choice, before anything that a killed stage would go on from is removed.
    """
    machine = paths.settings("run")
    device = device_of(settings["device"], cluster_of(machine))
    inputs = [
        settings,
        device,
        file_digest(paths.manifest),
        file_digest(paths.folds),
        folder_digest(paths.features),
        folder_digest(starts_from) if starts_from else None,
    ]
    folds = [fold.number for fold in read_folds(paths.folds)]
    trainings = Trainings(paths, label, settings, machine, device, starts_from)
    with unfinished(label, inputs) as folder:
        chosen, search = dict.fromkeys(folds, 0), list[dict[str, Any]]()
        if len(settings["trials"]) > 1:
            search = trainings.tried(folds, folder)
            for fold in folds:  # ties to the earliest trial
                own = [entry for entry in search if entry["fold"] == fold]
                chosen[fold] = max(own, key=lambda entry: entry["score"])["trial"]
        jobs = [trainings.job(folder, f, seed, chosen[f]) for seed in settings["seeds"] for f in folds]
        outcomes = trainings.outcomes(jobs)
        target.mkdir(parents=True, exist_ok=True)
        for done in jobs:  # the folder stays whole until all is in place
            with atomic(target / f"{done.name}.safetensors") as temporary:
                shutil.copyfile(done.folder / f"{done.name}.safetensors", temporary)
        write(outcomes, search)
    return outcomes


@dataclass(frozen=True)
class Trainings:
    """Those of one method or ablation: what they share, and where they run."""

    paths: Paths
    label: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    device: str
    starts_from: Path | None

    @cached_property
    def workers(self) -> int:
        """Processes side by side; one where they would share a GPU."""
        threads = self.settings["train"]["threads"]
        return 1 if self.device != "cpu" else worker_count(self.machine["workers"], threads)

    @cached_property
    def fits(self) -> bool:
        """Whether one training may hold all features."""
        # a cluster's GPUs need not be here to be asked
        device = self.device if cluster_of(self.machine) is None else "cpu"
        limit = memory_limit(self.machine["memory"], device, self.workers)
        return size_of_features(self.paths.features) <= limit

    @cached_property
    def finetune(self) -> dict[str, Any]:
        """How encoders are trained along, with the places of their files; empty where all are frozen."""
        found = dict(self.settings.get("finetune", {}))
        if found:
            found["encoders"] = {
                letter: own | {"settings": placed(own["encoder"], own["settings"], root())}
                for letter, own in found["encoders"].items()
            }
        return found

    def job(self, folder: Path, fold: int, seed: int, trial: int, search: bool = False) -> TrainingJob:
        """One training; what it leaves unfinished lies in `folder`. A search only chooses: it is not refitted."""
        settings, trials = self.settings, self.settings["trials"]
        own = {"refit": False} if search else {}
        final = settings["train"]["refit"] and not search and len(trials) > 1
        place = folder / "refitted" if final else folder
        return TrainingJob(
            method=settings["method"],
            fold=fold,
            seed=seed,
            settings=settings["settings"] | trials[trial].get("settings", {}),
            train=settings["train"] | trials[trial].get("train", {}) | own,
            task=Task(tuple(settings["classes"])),
            device=self.device,
            manifest=self.paths.manifest,
            features=self.paths.features,
            folds=self.paths.folds,
            folder=place / f"trial{trial}" if len(trials) > 1 else place,
            first_stage=settings.get("first_stage", False),
            starts_from=self.starts_from,
            finetune=self.finetune,
            unpacked=None if self.fits else folder / "unpacked",
        )

    def outcomes(self, jobs: list[TrainingJob]) -> list[dict[str, Any]]:
        """Run them; what each came to, in their order."""
        train = self.settings["train"]
        return run_jobs(
            run_job,
            jobs,
            workers=self.workers,
            threads=train["threads"],
            label=self.label,
            unit="epoch",
            units_per_job=train["epochs"] * (2 if jobs[0].train["refit"] else 1),
            device=self.device,
            cluster=cluster_of(self.machine),
        )

    def tried(self, folds: list[int], folder: Path) -> list[dict[str, Any]]:
        """The score of every trial on the validation data of every fold, with the first seed."""
        trials, seed = self.settings["trials"], self.settings["seeds"][0]
        tried = [(trial, fold) for trial in range(len(trials)) for fold in folds]
        scored = self.outcomes([self.job(folder, fold, seed, trial, search=True) for trial, fold in tried])
        return [
            {"trial": trial, "fold": fold, "score": outcome["best_score"], "set": trials[trial]}
            for (trial, fold), outcome in zip(tried, scored, strict=True)
        ]


if __name__ == "__main__":
    run(main)
