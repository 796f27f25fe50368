"""Where a step's time goes, method by method."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.engine.steps import engine_steps
from benchmarks.engine.stores import random_store
from benchmarks.records import markdown
from benchmarks.sizes import RUNS, build


def measure(steps: int) -> dict[str, Any]:
    """Milliseconds an utterance in each phase of a step, and the share of the threads that is busy."""
    found = {}
    for name, (method, settings, batch) in RUNS.items():
        times: dict[str, list[float]] = {}
        last = time.perf_counter()

        def tick(phase: str, times: dict[str, list[float]] = times) -> None:
            nonlocal last
            now = time.perf_counter()
            if phase:
                times.setdefault(phase, []).append(now - last)
            last = now

        run = engine_steps(build(method, settings), random_store((steps + 2) * batch), batch, tick)
        wall, cpu = time.perf_counter(), time.process_time()
        for step in range(steps + 2):
            if step == 2:
                wall, cpu = time.perf_counter(), time.process_time()
            next(run)
        busy = (time.process_time() - cpu) / (time.perf_counter() - wall) / torch.get_num_threads()
        own = {phase: 1000 * statistics.median(each) / batch for phase, each in times.items()}
        own["masks"] /= steps + 2  # drawn for the whole epoch at once
        found[name] = {"batch": batch, "phases": own, "total": sum(own.values()), "busy": busy}
    return found


def table(found: Mapping[str, Any]) -> str:
    names = list(next(iter(found.values()))["phases"])
    rows = [
        [
            name,
            *(f"{own['phases'][p]:.3f}" for p in names),
            f"{own['total']:.2f}",
            f"{100 * own['busy']:.0f} %",
        ]
        for name, own in found.items()
    ]
    return markdown(["ms an utterance", *names, "all", "busy"], rows)
