"""Train one method, or one ablation of it, on every fold with every seed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmarr.device import memory_limit
from cmarr.encoders.registry import place_keys
from cmarr.execution.jobs import device_of, run_jobs
from cmarr.execution.local import worker_count
from cmarr.features.shards import size_of_features
from cmarr.files import atomic, file_digest, folder_digest
from cmarr.folds.files import read_folds
from cmarr.task import Task
from cmarr.training.costs import write_costs, write_curves, write_mean_curves
from cmarr.training.job import TrainingJob, run_job
from stages.paths import Paths, cluster_of, found_files
from stages.resume import unfinished
from stages.stage import run


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
    machine, threads = paths.settings("run"), settings["train"]["threads"]
    cluster = cluster_of(machine)
    device = device_of(settings["device"], cluster)
    inputs = [
        settings,
        device,
        file_digest(paths.manifest),
        file_digest(paths.folds),
        folder_digest(paths.features),
        folder_digest(starts_from) if starts_from else None,
    ]
    folds = [fold.number for fold in read_folds(paths.folds)]
    finetune = dict(settings.get("finetune", {}))
    if finetune:
        finetune["encoders"] = {
            letter: own | {"settings": found_files(own["settings"], place_keys(own["encoder"]))}
            for letter, own in finetune["encoders"].items()
        }
    trials, seeds = settings["trials"], settings["seeds"]
    workers = 1 if device != "cpu" else worker_count(machine["workers"], threads)
    # a cluster's GPUs need not be here to be asked
    limit = memory_limit(machine["memory"], device if cluster is None else "cpu", workers)
    fits = size_of_features(paths.features) <= limit
    with unfinished(label, inputs) as folder:

        def job(fold: int, seed: int, trial: int, search: bool = False) -> TrainingJob:
            # A search only chooses: it is not refitted, and what is lies beside it.
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
                device=device,
                manifest=paths.manifest,
                features=paths.features,
                folds=paths.folds,
                folder=place / f"trial{trial}" if len(trials) > 1 else place,
                first_stage=settings.get("first_stage", False),
                starts_from=starts_from,
                finetune=finetune,
                unpacked=None if fits else folder / "unpacked",
            )

        def outcomes_of(jobs: list[TrainingJob]) -> list[dict[str, Any]]:
            return run_jobs(
                run_job,
                jobs,
                workers=workers,
                threads=threads,
                label=label,
                unit="epoch",
                units_per_job=settings["train"]["epochs"] * (2 if jobs[0].train["refit"] else 1),
                device=device,
                cluster=cluster,
            )

        chosen, search = dict.fromkeys(folds, 0), []
        if len(trials) > 1:
            tried = [(trial, fold) for trial in range(len(trials)) for fold in folds]
            scored = outcomes_of([job(fold, seeds[0], trial, search=True) for trial, fold in tried])
            for (trial, fold), outcome in zip(tried, scored, strict=True):
                search.append(
                    {"trial": trial, "fold": fold, "score": outcome["best_score"], "set": trials[trial]}
                )
            for fold in folds:  # ties to the earliest trial
                own = [entry for entry in search if entry["fold"] == fold]
                chosen[fold] = max(own, key=lambda entry: entry["score"])["trial"]
        jobs = [job(fold, seed, chosen[fold]) for seed in seeds for fold in folds]
        outcomes = outcomes_of(jobs)
        target.mkdir(parents=True, exist_ok=True)
        for done in jobs:  # the folder stays whole until all is in place
            with atomic(target / f"{done.name}.safetensors") as temporary:
                shutil.copyfile(done.folder / f"{done.name}.safetensors", temporary)
        write(outcomes, search)
    return outcomes


if __name__ == "__main__":
    run(main)
