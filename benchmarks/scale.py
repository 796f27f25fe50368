"""What each stage takes an utterance, in time and memory, as a corpus grows.

    python -m benchmarks.scale                        1,000 and 10,000 utterances
    python -m benchmarks.scale --sizes 1000 1000000 --until masks

A corpus with three modalities is drawn: four frames of speech and video, a vector of text, a transcript; ten utterances
a dialogue, fifty a speaker; a tenth lacks a modality. It goes through the stages as `dvc repro` calls them, each in a
process of its own on one core, with the methods named. `seconds` and `peak` are those of that process, the imports
among them: what grows is the difference between two sizes, by utterance. benchmarks/results/scale.json keeps it.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from benchmarks.records import RESULTS, keep, markdown

ROOT = Path(__file__).parents[1]
CLASSES = ("angry", "happy", "neutral", "sad")
WIDTHS = {"speech": (4, 16), "video": (4, 8), "text": (1, 12)}
"""Modality -> frames and width."""

DATASET = "own_features"


def stages(methods: Sequence[str]) -> list[tuple[str, ...]]:
    """What `dvc repro` runs, in its order; damage and what nobody asked for do nothing, and are left out."""
    trained = [(stage, name) for name in methods for stage in ("pretrain", "train", "evaluate")]
    extracted = [("extract", modality) for modality in WIDTHS]
    return [
        ("settings",),
        ("corpus",),
        ("prepare",),
        *extracted,
        ("split",),
        ("masks",),
        *trained,
        ("report",),
    ]


def draw(folder: Path, count: int, seed: int = 0) -> None:
    """Write a corpus of `count` utterances."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    number = np.arange(count)
    labels = rng.integers(len(CLASSES), size=count)
    words = np.array([f"word{i}" for i in range(500)])
    table = pd.DataFrame(
        {
            "id": [f"dialogue{i // 10:06d}_{i % 10}" for i in number],
            "label": np.array(CLASSES)[labels],
            "speaker": [f"speaker{i // 50:05d}" for i in number],
            "dialogue": [f"dialogue{i // 10:06d}" for i in number],
            "text": [" ".join(row) for row in words[rng.integers(len(words), size=(count, 12))]],
        }
    )
    table.to_csv(folder / "utterances.csv", index=False)
    lacks = rng.integers(10 * len(WIDTHS), size=count)
    for place, (modality, (frames, width)) in enumerate(WIDTHS.items()):
        values = rng.standard_normal((count, frames, width), np.float32) + labels[:, None, None] / 4
        values[lacks == place] = np.nan
        np.save(folder / f"{modality}.npy", values if frames > 1 else values[:, 0])


def write_project(folder: Path, methods: Sequence[str]) -> None:
    """params.yaml and the presets, set to the corpus beside them."""
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    params |= {"dataset": DATASET, "methods": list(methods), "device": "cpu", "workers": 1}
    params["train"] = params["train"] | {"epochs": 2}
    params["datasets"][DATASET] |= {"root": "own", "folds": "speaker", "n_folds": 5}
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
    shutil.copytree(ROOT / "presets", folder / "presets")


def measured(folder: Path, stage: Sequence[str]) -> dict[str, float]:
    """Run one stage; its seconds, and the most megabytes that it held at once."""
    command = [sys.executable, "-m", f"stages.{stage[0]}", DATASET, *stage[1:]]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    started = time.monotonic()
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as opened:
        actions = [(os.POSIX_SPAWN_DUP2, opened.fileno(), 1), (os.POSIX_SPAWN_DUP2, opened.fileno(), 2)]
        home = Path.cwd()
        os.chdir(folder)
        try:
            child = os.posix_spawn(sys.executable, command, variables, file_actions=actions)
        finally:
            os.chdir(home)
        _, status, used = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(stage)}: {log.read_text(encoding='utf-8')[-2000:]}")
    return {"seconds": time.monotonic() - started, "peak": used.ru_maxrss / 1024}


def scale(sizes: Sequence[int], methods: Sequence[str], until: str = "") -> dict[str, Any]:
    """Stage -> size -> seconds and megabytes."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="cmarr-scale-") as scratch:
            folder = Path(scratch)
            write_project(folder, methods)
            draw(folder / "own", size)
            for stage in stages(methods):
                one = measured(folder, stage)
                found.setdefault("@".join(stage), {})[str(size)] = one
                print(
                    f"{size:>9,} {'@'.join(stage):18} {one['seconds']:8.1f} s {one['peak']:8.0f} MB",
                    flush=True,
                )
                if until and stage[0] == until:
                    break
    return found


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A row a stage: at each size seconds and MB, and from one to the next microseconds and bytes an utterance."""
    sizes = sorted({int(size) for own in found.values() for size in own})
    steps = list(itertools.pairwise(sizes))
    head = ["stage", *(f"{n:,}" for n in sizes), *(f"{a:,} to {b:,}, an utterance" for a, b in steps)]
    rows = []
    for stage, own in found.items():
        cells = [f"{own[str(n)]['seconds']:.1f} s, {own[str(n)]['peak']:.0f} MB" for n in sizes]
        for a, b in steps:
            first, last = own[str(a)], own[str(b)]
            spent = (last["seconds"] - first["seconds"]) / (b - a) * 1e6
            held = (last["peak"] - first["peak"]) / (b - a) * 2**20
            cells.append(f"{spent:.0f} µs, {held:.0f} B")
        rows.append([stage, *cells])
    return markdown(head, rows)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--methods", nargs="+", default=["linear", "masked"])
    parser.add_argument("--until", default="", help="the last stage to run: masks, for instance")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args()
    found = scale(options.sizes, options.methods, options.until)
    # late: a process counts as its own what the one that started it held, and torch is large
    from benchmarks.machine import machine

    keep("scale", {"machine": machine(), "stages": found}, options.results)
    print(table(found))


if __name__ == "__main__":
    main()
