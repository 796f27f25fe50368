"""Train one method, or one ablation of it, on every fold with every seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmarr.encoders.registry import placed
from cmarr.execution.jobs import device_of
from cmarr.files import file_digest, folder_digest
from cmarr.folds.privileges import TEST_EPOCH, WORD, told
from cmarr.seals import LIST, write_list
from cmarr.training.costs import write_costs, write_curves, write_mean_curves
from cmarr.training.trainings import Trainings
from stages.paths import Paths, cluster_of
from stages.resume import unfinished
from stages.stage import root, run


def main(dataset: str, name: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"train/{name}")
    starts_from = settings["starts_from"] and paths.pretrained(settings["starts_from"])

    def write(outcomes: list[dict[str, Any]], search: list[dict[str, Any]]) -> None:
        curves, mean = (paths.metrics / name / file for file in ("curves.csv", "learning.csv"))
        write_curves(curves, outcomes)
        write_mean_curves(mean, outcomes)
        write_costs(paths.metrics / name / "cost.json", outcomes, search)
        write_list(paths.metrics / name / f"{LIST}.train", [curves, mean])

    label = f"train-{dataset}-{name}"
    for outcome in train(paths, label, settings, paths.models(name), starts_from, write):
        print(
            f"{name} fold {outcome['fold']} seed {outcome['seed']}: kept epoch {outcome['best_epoch']} of "
            f"{outcome['epochs']}, {score_of(outcome)}, {outcome['seconds']:.1f} s"
        )


def train(
    paths: Paths,
    label: str,
    settings: dict[str, Any],
    target: Path,
    starts_from: Path | None,
    write: Callable[[list[dict[str, Any]], list[dict[str, Any]]], None],
) -> list[dict[str, Any]]:
    """Train on every fold with every seed and copy the models to `target`, see `Trainings.run`.

    Returns the outcomes of the trainings; `write` is given these, and the trials' where there was a choice, before
    anything that a killed stage would go on from is removed.
    """
    machine = paths.settings("run")
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
    trainings = Trainings(
        label=label,
        settings=settings,
        manifest=paths.manifest,
        features=paths.features,
        folds=paths.folds,
        device=device,
        workers=machine["workers"],
        memory=machine["memory"],
        cluster=cluster,
        starts_from=starts_from,
        finetune=finetune_of(settings),
    )
    if taken := settings.get("privileges"):
        print(f"{label}: {told(taken)}")
    with unfinished(label, inputs) as folder:
        outcomes, search = trainings.run(folder, target)
        write(outcomes, search)
    return outcomes


def score_of(outcome: dict[str, Any]) -> str:
    """The score that chose the epoch, and of whom it is."""
    taken = outcome.get("privileges", ())
    chose = "test" if TEST_EPOCH in taken else "validation"
    return f"{f'{WORD} ' if taken else ''}{chose} score {outcome['best_score']:.3f}"


def finetune_of(settings: dict[str, Any]) -> dict[str, Any]:
    """How encoders are trained along, with the places of their files; empty where all are frozen."""
    found = dict(settings.get("finetune", {}))
    if found:
        found["encoders"] = {
            letter: own | {"settings": placed(own["encoder"], own["settings"], root())}
            for letter, own in found["encoders"].items()
        }
    return found


if __name__ == "__main__":
    run(main)
