"""An epoch of `masked`, the cheapest method, from 1000 to 64000 utterances of 26 kB: seconds and memory.

With a tenth as many utterances to validate. Every size has a process of its own, whose memory is its own, too.
"""

import multiprocessing
import resource
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from benchmarks.engine.loop import epochs
from benchmarks.engine.stores import random_store, size_in_bytes
from benchmarks.records import markdown
from benchmarks.sizes import RUNS, build

NARROW = {"s": (20, 160), "v": (20, 324), "t": (12, 256)}
"""Modality -> frames and width: 64000 utterances of the published widths would take 6 GB."""

EPOCHS = {1000: 24, 4000: 8, 16000: 3, 64000: 1}
"""Utterances -> epochs that are timed, of which the fastest counts; one before them is not."""


def measure(steps: int) -> dict[str, Any]:
    """Seconds an epoch, and memory of the process at its largest, for each number of utterances."""
    context, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as one_after_another:
        return {str(n): one_after_another.submit(_measured, n, threads).result() for n in EPOCHS}


def _measured(utterances: int, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    name, settings, batch = RUNS["masked"]
    train, validation = random_store(utterances, NARROW), random_store(utterances // 10, NARROW, seed=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    method = build(name, settings, dims={m: width for m, (_, width) in NARROW.items()})
    costs = epochs(method, train, validation, batch, 1 + EPOCHS[utterances])[1:]
    busy = min(cost.processor_seconds for cost in costs)
    seconds = min(cost.seconds for cost in costs)
    return {
        "epochs": len(costs),
        "seconds": seconds,
        "processor_seconds": busy,
        "microseconds_an_utterance": 1e6 * seconds / utterances,
        "processor_microseconds_an_utterance": 1e6 * busy / utterances,
        "features_bytes": size_in_bytes(train) + size_in_bytes(validation),
        "memory_before_training_bytes": before * 1024,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def table(found: Mapping[str, Any]) -> str:
    return markdown(
        ["utterances", "s an epoch", "µs an utterance", "features, MB", "process at its largest, MB"],
        [
            [
                utterances,
                f"{own['seconds']:.2f}",
                f"{own['microseconds_an_utterance']:.0f}",
                f"{own['features_bytes'] / 1e6:.0f}",
                f"{own['peak_memory_bytes'] / 1e6:.0f}",
            ]
            for utterances, own in found.items()
        ],
    )
