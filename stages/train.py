"""Train one method, or one ablation of it, on every fold with every seed."""

import shutil

from cmarr.device import choose_device
from cmarr.execution import run_jobs, worker_count
from cmarr.files import file_digest, folder_digest
from cmarr.folds.files import read_folds
from cmarr.methods.protocol import Task
from cmarr.training.costs import write_costs, write_curves, write_mean_curves
from cmarr.training.job import TrainingJob, run_job
from stages.paths import Paths
from stages.resume import unfinished
from stages.stage import run


def main(dataset: str, name: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(name)
    device = choose_device(settings["device"])
    threads = settings["train"]["threads"]
    inputs = [
        settings,
        device,
        file_digest(paths.manifest),
        file_digest(paths.folds),
        folder_digest(paths.features),
    ]
    with unfinished(f"train-{dataset}-{name}", inputs) as folder:
        jobs = [
            TrainingJob(
                method=settings["method"],
                fold=fold.number,
                seed=seed,
                settings=settings["settings"],
                train=settings["train"],
                task=Task(tuple(settings["classes"])),
                device=device,
                manifest=paths.manifest,
                features=paths.features,
                folds=paths.folds,
                folder=folder,
            )
            for seed in settings["seeds"]
            for fold in read_folds(paths.folds)
        ]
        workers = 1 if device != "cpu" else worker_count(paths.settings("run")["workers"], threads)
        outcomes = run_jobs(
            run_job,
            jobs,
            workers=workers,
            threads=threads,
            label=f"train {name}",
            unit="epoch",
            units_per_job=settings["train"]["epochs"],
        )
        target = paths.models(name)
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.safetensors")):
            shutil.copyfile(path, target / path.name)  # the folder stays whole until all is in place
    write_curves(paths.metrics / name / "curves.csv", outcomes)
    write_mean_curves(paths.metrics / name / "learning.csv", outcomes)
    write_costs(paths.metrics / name / "cost.json", outcomes)
    for outcome in outcomes:
        print(
            f"{name} fold {outcome['fold']} seed {outcome['seed']}: kept epoch {outcome['best_epoch']} of "
            f"{outcome['epochs']}, validation score {outcome['best_score']:.3f}, {outcome['seconds']:.1f} s"
        )


if __name__ == "__main__":
    run(main)
