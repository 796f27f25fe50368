"""What the training engine costs, part by part; docs/speed.md says what came out.

    python -m benchmarks.engine                    every part, and one JSON file a part in benchmarks/results/
    python -m benchmarks.engine eager --steps 20   one of them, steadier

eager    CM-ARR in the sizes of the papers (`full`) and of the preset `frozen`, against benchmarks/plain.py: the same
         network in a straightforward loop with a DataLoader; the two take turns, step by step
phases   where a step's time goes, method by method
size     an epoch of the cheapest method over 1000 to 64000 utterances of 26 kB, and 64 to validate: seconds and memory
study    an epoch at IEMOCAP's size, 5531 utterances, in the sizes d = 64, L = 32 and `full`, and from that, what the
         five folds of a study take. A quarter (`full`: a sixteenth) of the utterances is trained on, and multiplied
startup  from starting Python to the first step of a training, and reading shards of IEMOCAP's size

Features are random, with the widths and mean lengths of those that the MMIN family published (speech 60 x 130, video
50 x 342, text 22 x 1024); an utterance is longer or shorter than that by a factor drawn from a log-normal distribution.
Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks import plain
from benchmarks.machine import machine, sentence
from benchmarks.training import DIMS, FULL, SHAPES, TASK, build
from cmarr.data.load import load_features
from cmarr.data.masks import draw_epoch
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store, build_store
from cmarr.features.shards import FeatureSequence, shard_path, write_shard
from cmarr.methods.cmarr import CMARR
from cmarr.modalities import NAMES
from cmarr.training.loop import fit
from cmarr.training.optimisation import limit_gradients

RESULTS = Path(__file__).parent / "results"
FROZEN = {"d": 64, "length": 16, "flow_steps": 4, "blocks": 2, "heads": 4}
MIDDLE = FROZEN | {"length": 32}
SPREAD = 0.5
"""Deviation of the logarithm of an utterance's length."""

NARROW = {"s": (20, 160), "v": (20, 324), "t": (12, 256)}
"""Modality -> frames and width of the part `size`: 64000 utterances of the published widths would take 6 GB."""

UTTERANCES, TRAINED, VALIDATED = 5531, 3319, 1106
"""IEMOCAP's four classes: all, and how many train and validate where the sessions take turns in testing."""

DRAWN = 8192
"""Rows that are drawn; a larger store repeats them, which no arithmetic notices."""

EPOCHS = 100
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


def random_store(rows: int, shapes: Mapping[str, tuple[int, int]] = SHAPES, seed: int = 0) -> Store:
    generator = torch.Generator().manual_seed(seed)
    factor = (SPREAD * torch.randn(rows, generator=generator) - SPREAD**2 / 2).exp()
    values, starts, lengths = {}, {}, {}
    for m, (frames, width) in shapes.items():
        lengths[m] = (frames * factor).round().long().clamp(1, 4 * frames)
        starts[m] = lengths[m].cumsum(0) - lengths[m]
        rows_in_all = int(lengths[m].sum())
        drawn = torch.randn(min(rows_in_all, DRAWN), width, generator=generator).half()
        values[m] = drawn.repeat(rows_in_all // len(drawn) + 1, 1)[:rows_in_all]
    labels = torch.randint(TASK.outputs, (rows,), generator=generator)
    return Store(tuple(map(str, range(rows))), values, starts, lengths, labels)


def fitted(store: Store) -> Normaliser:
    normaliser = Normaliser(store.dims)
    normaliser.fit(store.frames())
    return normaliser


def engine_steps(
    method: nn.Module, store: Store, batch_size: int, tick: Callable[[str], None] = lambda name: None
) -> Iterator[int]:
    """The steps of the training loop, for ever; yields how many utterances each had, `tick` names its phases."""
    normaliser, generator = fitted(store), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-4, fused=True)
    method.train()
    while True:
        order = torch.randperm(len(store), generator=generator)
        sizes = [batch_size] * (len(store) // batch_size)
        tick("")
        seen = draw_epoch(store.available[order], sizes, generator).split(sizes)
        tick("masks")
        for batch, visible in zip(store.batches(order, sizes), seen, strict=True):
            tick("gather")
            batch = normaliser(batch)
            tick("normalise")
            losses = method.training_losses(batch, visible)
            tick("forward")
            optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            tick("backward")
            limit_gradients(method, 1.0, "whole")
            tick("clip")
            optimiser.step()
            tick("Adam")
            yield len(batch)
            tick("")


def plain_steps(method: CMARR, store: Store, batch_size: int) -> Iterator[int]:
    normaliser = fitted(store)
    means, scales = ({m: getattr(normaliser, f"{name}_{m}") for m in DIMS} for name in ("mean", "scale"))
    utterances = plain.Utterances(store, means, scales)
    loader = DataLoader(utterances, batch_size, shuffle=True, collate_fn=plain.collate)
    yield from plain.train(method.train(), loader, 1e-4, 1.0)


def eager(steps: int) -> dict[str, Any]:
    """Milliseconds an utterance of the engine and of the straightforward loop, and the ratio of the two."""
    found = {}
    for name, settings, batch in (("full", FULL, 16), ("frozen", FROZEN, 64)):
        store = random_store(8 * batch)
        both = {
            "engine": engine_steps(build("cmarr", settings, False), store, batch),
            "plain": plain_steps(build("cmarr", settings, False), store, batch),
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


def phases(steps: int) -> dict[str, Any]:
    """Milliseconds an utterance in each phase of a step."""
    runs = {
        "cmarr, full (batch 16)": ("cmarr", FULL, 16),
        "cmarr, d 64, L 32": ("cmarr", MIDDLE, 64),
        "cmarr, frozen": ("cmarr", FROZEN, 64),
        "masked": ("masked", {"d": 64, "length": 16, "heads": 4}, 64),
        "mmin": ("mmin", {}, 64),
        "mcur": ("mcur", {"d": 64, "latents": 4, "heads": 4}, 64),
    }
    found = {}
    for name, (method, settings, batch) in runs.items():
        times: dict[str, list[float]] = {}
        last = time.perf_counter()

        def tick(phase: str, times: dict[str, list[float]] = times) -> None:
            nonlocal last
            now = time.perf_counter()
            if phase:
                times.setdefault(phase, []).append(now - last)
            last = now

        run = engine_steps(build(method, settings, False), random_store((steps + 2) * batch), batch, tick)
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


def epoch(
    method: nn.Module, train: Store, validation: Store, batch_size: int, epochs: int
) -> tuple[float, float]:
    """Seconds, and processor seconds, of the fastest epoch but the first, with its validation, in the real loop."""
    ends: list[tuple[float, float]] = []
    fit(
        method,
        fitted(train),
        train,
        validation,
        on_epoch=lambda _: ends.append((time.perf_counter(), time.process_time())),
        batch_size=batch_size,
        epochs=epochs,
        **OPTIONS,
    )
    found = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(ends)]
    return min(seconds for seconds, _ in found), min(busy for _, busy in found)


def size(steps: int) -> dict[str, Any]:
    """Seconds an epoch and memory of the process, from 1000 to 64000 utterances."""
    validation = random_store(64, NARROW, seed=1)
    found = {}
    for rows in (1000, 4000, 16000, 64000):
        store = random_store(rows, NARROW)
        held = sum(own.numel() * own.element_size() for own in store.values.values())
        method = build_for(NARROW)
        seconds, busy = epoch(method, store, validation, 64, 3 if rows < 16000 else 2)
        found[str(rows)] = {
            "seconds": seconds,
            "processor_seconds": busy,
            "microseconds_an_utterance": 1e6 * busy / rows,
            "features_bytes": held,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    return found


def build_for(shapes: Mapping[str, tuple[int, int]]) -> nn.Module:
    from cmarr.methods.masked import Masked

    torch.manual_seed(0)
    return Masked({m: width for m, (_, width) in shapes.items()}, TASK, d=64, length=16, heads=4)


def study(steps: int) -> dict[str, Any]:
    """Seconds an epoch of CM-ARR at IEMOCAP's size, and what the arithmetic makes of a study of five folds."""
    found = {}
    for name, settings, batch, share in (("d 64, L 32", MIDDLE, 64, 4), ("full", FULL, 16, 16)):
        train, validation = random_store(UTTERANCES // share), random_store(VALIDATED // share, seed=1)
        method = build("cmarr", settings, False)
        ends: list[float] = []
        normaliser = fitted(train)
        started, busy = time.perf_counter(), time.process_time()
        fit(
            method,
            normaliser,
            train,
            validation,
            on_epoch=lambda _, ends=ends: ends.append(time.perf_counter()),
            batch_size=batch,
            epochs=1,
            **OPTIONS,
        )
        seconds, busy = (ends[0] - started) * share, (time.process_time() - busy) * share
        found[name] = {
            "measured_share": 1 / share,
            "epoch_processor_seconds": busy,  # of all threads; whatever else runs counts in the other only
            "epoch_seconds": seconds,  # 5531 utterances trained on, 1106 validated
            "study_hours": 5 * EPOCHS * seconds * (TRAINED + VALIDATED) / (UTTERANCES + VALIDATED) / 3600,
        }
    return found


def startup(steps: int) -> dict[str, Any]:
    """Seconds to import what a training imports, and to read shards into stores."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import cmarr.training.job, cmarr.methods.cmarr"], check=True)
    imported = time.perf_counter() - start
    store = random_store(UTTERANCES // 4)
    with tempfile.TemporaryDirectory() as folder:
        for m, values in store.values.items():
            (Path(folder) / NAMES[m]).mkdir()
            parts = values.float().numpy()
            for number, first in enumerate(range(0, len(store), 64)):
                rows = range(first, min(first + 64, len(store)))
                own = [(int(store.starts[m][i]), int(store.lengths[m][i])) for i in rows]
                write_shard(
                    shard_path(Path(folder) / NAMES[m], number),
                    [
                        FeatureSequence(str(i), parts[a : a + n], np.zeros(n, np.float32))
                        for i, (a, n) in zip(rows, own, strict=True)
                    ],
                    {},
                )
        held = sum(own.numel() * own.element_size() for own in store.values.values())
        start = time.perf_counter()
        features = load_features(folder)
        read = time.perf_counter() - start
        start = time.perf_counter()
        made = build_store(store.ids, features, store.labels.tolist())
        fitted(made)
        gathered = time.perf_counter() - start
    return {
        "import_seconds": imported,
        "utterances": len(store),
        "features_bytes": held,
        "read_seconds": read,
        "store_and_statistics_seconds": gathered,
    }


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "eager": eager,
    "phases": phases,
    "size": size,
    "study": study,
    "startup": startup,
}


def table(part: str, found: Mapping[str, Any]) -> str:
    if part == "eager":
        head = ["CM-ARR", "batch", "straightforward, ms an utterance", "here", "times as fast"]
        rows = [
            [name, f"{own['batch']}", f"{own['plain']:.2f}", f"{own['engine']:.2f}", f"{own['ratio']:.2f}"]
            for name, own in found.items()
        ]
    elif part == "phases":
        names = list(next(iter(found.values()))["phases"])
        head = ["ms an utterance", *names, "all", "busy"]
        rows = [
            [name, *(f"{own['phases'][p]:.3f}" for p in names), f"{own['total']:.2f}", f"{own['busy']:.0%}"]
            for name, own in found.items()
        ]
    elif part == "size":
        head = ["utterances", "s an epoch", "processor us an utterance", "features, MB", "process, MB"]
        rows = [
            [
                rows,
                f"{own['seconds']:.2f}",
                f"{own['microseconds_an_utterance']:.0f}",
                f"{own['features_bytes'] / 1e6:.0f}",
                f"{own['peak_memory_bytes'] / 1e6:.0f}",
            ]
            for rows, own in found.items()
        ]
    elif part == "study":
        head = ["CM-ARR", "s an epoch of 5531", "processor s", "h, 5 folds x 100 epochs, one after another"]
        rows = [
            [
                name,
                f"{own['epoch_seconds']:.1f}",
                f"{own['epoch_processor_seconds']:.1f}",
                f"{own['study_hours']:.1f}",
            ]
            for name, own in found.items()
        ]
    else:
        head, rows = ["", ""], [[key, f"{value:.2f}"] for key, value in found.items()]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"parts to run, of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--steps", type=int, default=10, help="steps measured of `eager` and `phases`")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.results.mkdir(exist_ok=True)
    for part in options.parts or PARTS:
        on, found = machine(), PARTS[part](options.steps)
        print(f"{part}: {sentence(on)}\n\n{table(part, found)}\n", flush=True)
        text = json.dumps({"machine": on, "result": found}, indent=2) + "\n"
        (options.results / f"{part}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
