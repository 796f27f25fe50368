"""Train Denseface on FER+, or go on with a training that was stopped."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from cmarr.device import choose_device
from cmarr.encoders.face_network import EMOTIONS
from cmarr.errors import UserError
from cmarr.ferplus.augment import Augmentation
from cmarr.ferplus.reader import read_part
from cmarr.ferplus.state import read_state
from cmarr.ferplus.training import Recipe, Training
from cmarr.files import digest
from cmarr.tracking.mirror import track
from cmarr.tracking.results import FoldResult, Results
from stages.paths import Paths, corpus_root
from stages.stage import root, run, work_folder

FOLDER = Path("data", "denseface")
"""Where the state and the best weights lie. Git ignores the weights, not the state: a training may take days."""

RECIPE = (
    "seed", "epochs", "restarts", "sides", "side_shares", "batch_size", "lr", "schedule", "warmup", "momentum",
    "weight_decay", "average", "precision",
)  # fmt: skip


def main(dataset: str) -> None:
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    with alone():
        train(Paths(dataset).settings("denseface"))


def train(settings: Mapping[str, Any]) -> None:
    """Train to the end; MLflow hears how it went."""
    training = begin(settings)
    if training.done:
        print(f"denseface: {training}; nothing is left to do, `make card` scores the weights")
    else:
        print(
            f"denseface: from epoch {training.progress.epoch}, batch {training.progress.batch} on", flush=True
        )
        try:
            training.run(settings["save_minutes"], tell=lambda told: print(told, flush=True))
        except KeyboardInterrupt:
            raise UserError(
                "stopped; `make denseface` goes on from the state that was saved last, at most "
                f"{settings['save_minutes']:g} minutes ago"
            ) from None
    # there is one: the last epoch is at full size
    best = training.progress.curves[training.progress.best_epoch - 1]
    scores = {name: {"validation": {"mean": best[f"validation/{name}"]}} for name in ("accuracy", "UAR")}
    track(tracked(training.state, scores), root=root())


@contextmanager
def alone() -> Iterator[None]:
    """Keep others that train or score out of this folder: they would write the same files. A dead one holds no lock."""
    path = work_folder("denseface.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, blocking=False):
            yield
    except Timeout:
        raise UserError(
            f"another `make denseface` or `make card` is at work in {root() / FOLDER}; wait for it, or stop it"
        ) from None


def begin(settings: Mapping[str, Any]) -> Training:
    """The training as its state left it, or a new one."""
    torch.set_num_threads(settings["threads"])
    # on a GPU, too, a training that was stopped goes on to the same bits
    torch.backends.cudnn.deterministic = True
    faces = corpus_root(settings["root"])
    return Training(
        Recipe(**{key: settings[key] for key in RECIPE}, augment=Augmentation(**settings["augment"])),
        read_part(faces, "train").real(),
        read_part(faces, "valid").real(),
        root() / FOLDER,
        device=choose_device(settings["device"]),
        compile=settings["compile"],
    )


def tracked(state: Path, scores: Mapping[str, Any], **shown: Any) -> Results:
    """What MLflow shows of a training: its recipe, its curves, and scores as {'UAR': {'test': {'mean': ...}}}."""
    _, notes = read_state(state)
    progress = notes["progress"]
    curves = [
        (epoch, name, value)
        for epoch, curve in enumerate(progress["curves"], 1)
        for name, value in curve.items()
    ]
    return Results(
        dataset="ferplus",
        method="denseface",
        settings={"classes": list(EMOTIONS), **notes["recipe"]},
        metrics=scores,
        data_hash=digest([notes["faces"], notes["validation"]]),
        folds=[FoldResult(0, notes["recipe"]["seed"], {}, curves, {"seconds": progress["seconds"]})],
        **shown,
    )


if __name__ == "__main__":
    run(main)
