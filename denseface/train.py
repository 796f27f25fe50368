"""Train Denseface on FER+, or go on with a training that was stopped: `make denseface`."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from cmarr.device import choose_device
from cmarr.encoders.face_network import EMOTIONS
from cmarr.errors import UserError
from cmarr.files import digest, refusal
from cmarr.tracking.mirror import track
from cmarr.tracking.results import FoldResult, Results
from denseface.ferplus import read_part
from denseface.recipe import Settings, load_settings
from denseface.state import read_state
from denseface.training import Training

FOLDER = Path("data", "denseface")
"""Where the state and the best weights lie. Git ignores the weights, not the state: a training may take days."""

LOCK = Path(".cmarr", "denseface.lock")
"""Held by whoever trains or scores."""


def main() -> None:
    """Train while nobody else trains or scores."""
    with alone():
        train(load_settings())


def train(settings: Settings) -> None:
    """Train to the end; MLflow hears how it went."""
    training = begin(settings)
    if training.done:
        print(f"denseface: {training}; nothing is left to do, `make card` scores the weights")
    else:
        print(
            f"denseface: from epoch {training.progress.epoch}, batch {training.progress.batch} on", flush=True
        )
        try:
            training.run(settings.save_minutes, tell=lambda told: print(told, flush=True))
        except KeyboardInterrupt:
            raise UserError(
                "stopped; `make denseface` goes on from the state that was saved last, at most "
                f"{settings.save_minutes:g} minutes ago"
            ) from None
    # there is one: the last epoch is at full size
    best = training.progress.curves[training.progress.best_epoch - 1]
    scores = {name: {"validation": {"mean": best[f"validation/{name}"]}} for name in ("accuracy", "UAR")}
    track(tracked(training.state, scores), root=Path.cwd())


@contextmanager
def alone() -> Iterator[None]:
    """Keep others that train or score out of this folder: they would write the same files. A dead one holds no lock."""
    LOCK.parent.mkdir(exist_ok=True)
    try:
        with FileLock(LOCK, blocking=False):
            yield
    except Timeout:
        raise UserError(
            f"another `make denseface` or `make card` is at work in {FOLDER.resolve()}; wait for it, or stop it"
        ) from None


def begin(settings: Settings) -> Training:
    """The training as its state left it, or a new one."""
    torch.set_num_threads(settings.threads)
    # on a GPU, too, a training that was stopped goes on to the same bits
    torch.backends.cudnn.deterministic = True
    return Training(
        settings.recipe,
        read_part(settings.faces, "train").real(),
        read_part(settings.faces, "valid").real(),
        FOLDER.resolve(),
        device=choose_device(settings.device),
        compile=settings.compile,
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


def run(name: str, command: Callable[[], None]) -> None:
    """Call a command; what a user can mend becomes a sentence on standard error and exit status 1."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    try:
        command()
    except UserError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        told = refusal(error)
        if told is None:
            raise
        sys.exit(f"{name}: {told}")


if __name__ == "__main__":
    run("denseface", main)
