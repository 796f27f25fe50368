"""Trains with whatever `cmarr` Python finds, a step each time it is told to; benchmarks/engine/against.py tells it.

    python -m benchmarks.engine.stepper FOLDER

FOLDER is where `cmarr` has to come from. The first line of the input is {"runs", "steps", "threads"}, every further one
asks for one step; the answers are {"seconds"} or {"failed"}. A step is all that the loop does from the end of one step
of the optimiser to the end of the next. Only what earlier revisions had, too, is used.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


class Over(BaseException):
    """A method has made all its steps."""


def main() -> None:
    """Answer until there is nothing to answer any more."""
    order = json.loads(sys.stdin.readline())
    torch.set_num_threads(order["threads"])
    try:
        for run in order["runs"].values():
            train(*run, steps=order["steps"])
    except Exception as error:  # an earlier revision may miss anything, in any way
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), flush=True)


def train(method: str, settings: dict[str, Any], batch: int, *, steps: int) -> None:
    """So many steps of a method, in the loop of its revision."""
    from benchmarks.engine.loop import OPTIONS
    from benchmarks.engine.stores import random_store
    from benchmarks.sizes import build
    from cmarr.data.normalise import Normaliser
    from cmarr.training.loop import fit

    check_source(Path(sys.argv[1]).resolve())
    store, done = random_store(steps * batch), 0
    started = asked()

    def made(*_: object) -> None:
        nonlocal started, done
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
        done += 1
        if done == steps:
            raise Over
        started = asked()

    hook = register_optimizer_step_post_hook(made)
    try:
        # Random features are standard normal: the normaliser does its work, but nothing has to be fitted.
        normaliser, validation = Normaliser(store.dims), random_store(batch, seed=1)
        network = build(method, settings)
        fit(network, normaliser, store, validation, batch_size=batch, epochs=1, **OPTIONS)
    except Over:
        hook.remove()


def check_source(tree: Path) -> None:
    """Raise ImportError where a module is not of this tree: an installed `cmarr` fills in what a tree lacks."""
    for name, module in sys.modules.items():
        source = getattr(module, "__file__", None)
        if name.split(".")[0] == "cmarr" and source and not Path(source).resolve().is_relative_to(tree):
            raise ImportError(f"it has no module {name}")


def asked() -> float:
    """Wait for the next line of the input; the time then."""
    if not sys.stdin.readline():
        sys.exit()
    return time.perf_counter()


if __name__ == "__main__":
    main()
