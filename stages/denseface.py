"""Train Denseface on FER+, or go on with a training that was stopped."""

from pathlib import Path
from typing import Any

import torch

from cmarr.device import choose_device
from cmarr.ferplus.augment import Augmentation
from cmarr.ferplus.reader import read_part
from cmarr.ferplus.training import Recipe, Training
from stages.paths import Paths, corpus_root
from stages.stage import root, run

FOLDER = Path("data", "denseface")
"""Where the state and the best weights lie: kept by git, so that a training may take many sittings."""

RECIPE = (
    "seed", "epochs", "batch_size", "lr", "schedule", "warmup", "momentum", "weight_decay", "average", "precision",
)  # fmt: skip


def main(dataset: str) -> None:
    settings = Paths(dataset).settings("denseface")
    training = begin(settings)
    if training.done:
        print(
            f"denseface: {training}; all {training.recipe.epochs} epochs are done, `make card` scores the weights"
        )
        return
    training.run(settings["save_minutes"], tell=lambda told: print(told, flush=True))


def begin(settings: dict[str, Any]) -> Training:
    """The training as its state left it, or a new one."""
    torch.set_num_threads(settings["threads"])
    faces = corpus_root(settings["root"])
    return Training(
        Recipe(**{key: settings[key] for key in RECIPE}, augment=Augmentation(**settings["augment"])),
        read_part(faces, "train").real(),
        read_part(faces, "valid").real(),
        root() / FOLDER,
        device=choose_device(settings["device"]),
        compiled=settings["compile"],
    )


if __name__ == "__main__":
    run(main)
