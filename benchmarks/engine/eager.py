"""CM-ARR against benchmarks/plain.py, the same network in a straightforward loop with a DataLoader.

In the sizes of the papers (`full`) and of the preset `frozen`. The two take turns, step by step.
"""

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

from benchmarks import plain
from benchmarks.engine.steps import engine_steps
from benchmarks.engine.stores import fitted, random_store
from benchmarks.records import markdown
from benchmarks.sizes import DIMS, FROZEN, FULL, build
from cmarr.data.store import Store
from cmarr.methods.cmarr import CMARR


def measure(steps: int) -> dict[str, Any]:
    """Milliseconds an utterance of the engine and of the straightforward loop, and the ratio of the two."""
    found = {}
    for name, settings, batch in (("full", FULL, 16), ("frozen", FROZEN, 64)):
        store = random_store(8 * batch)
        both = {
            "engine": engine_steps(build("cmarr", settings), store, batch),
            "plain": plain_steps(build("cmarr", settings), store, batch),
        }
        times: dict[str, list[float]] = {kind: [] for kind in both}
        for _ in range(steps + 2):
            for kind, run in both.items():
                start = time.perf_counter()
                next(run)
                times[kind].append(time.perf_counter() - start)
        medians = {kind: 1000 * statistics.median(own[2:]) / batch for kind, own in times.items()}
        found[name] = {"batch": batch, **medians, "ratio": medians["plain"] / medians["engine"]}
    return found


def plain_steps(method: CMARR, store: Store, batch_size: int) -> Iterator[int]:
    """Steps of the straightforward loop, for ever; yields how many utterances each had."""
    normaliser = fitted(store)
    means, scales = ({m: getattr(normaliser, f"{name}_{m}") for m in DIMS} for name in ("mean", "scale"))
    utterances = plain.Utterances(store, means, scales)
    loader = DataLoader(utterances, batch_size, shuffle=True, collate_fn=plain.collate)
    yield from plain.train(method.train(), loader, 1e-4, 1.0)


def table(found: Mapping[str, Any]) -> str:
    return markdown(
        ["CM-ARR", "batch", "straightforward, ms an utterance", "here", "times as fast"],
        [
            [name, f"{own['batch']}", f"{own['plain']:.1f}", f"{own['engine']:.1f}", f"{own['ratio']:.2f}"]
            for name, own in found.items()
        ],
    )
