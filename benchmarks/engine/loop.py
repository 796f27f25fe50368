"""The real training loop, its epochs timed."""

import time
from dataclasses import dataclass
from typing import Any

from torch import nn

from benchmarks.engine.stores import fitted
from benchmarks.sizes import TASK
from cmarr.data.store import Store
from cmarr.training.loop import fit

OPTIONS: dict[str, Any] = {
    "task": TASK,
    "seed": 0,
    "lr": 1e-4,
    "patience": 0,
    "weight_decay": 0.0,
    "clip": 1.0,
    "selection": "mean7",
    "masks": "sample",
    "mask_conditions": "seven",
}
"""Of a training, but for its batches and epochs."""


@dataclass(frozen=True)
class Cost:
    """Seconds of an epoch with its validation; `processor_seconds` are those of all threads of this process."""

    seconds: float
    processor_seconds: float


def epochs(method: nn.Module, train: Store, validation: Store, batch_size: int, count: int) -> list[Cost]:
    """What each of the epochs of a training costs."""
    normaliser, found = fitted(train), []
    wall, busy = time.perf_counter(), time.process_time()

    def ended(_: int) -> None:
        nonlocal wall, busy
        found.append(Cost(time.perf_counter() - wall, time.process_time() - busy))
        wall, busy = time.perf_counter(), time.process_time()

    fit(method, normaliser, train, validation, on_epoch=ended, batch_size=batch_size, epochs=count, **OPTIONS)
    return found
