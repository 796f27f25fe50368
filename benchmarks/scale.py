"""What each stage takes an utterance, in time and memory, as a corpus grows.

    python -m benchmarks.scale                        1,000 and 10,000 utterances
    python -m benchmarks.scale --sizes 100000 1000000 --until masks --work /tmp/scale

A corpus with three modalities is drawn: four frames of speech and video, a vector of text, a transcript; ten utterances
a dialogue, fifty a speaker; a tenth lacks a modality. It goes through the stages as `dvc repro` calls them, each in a
process of its own on one core, with the methods named: one epoch on three folds, and `linear` with its penalty given,
because an utterance costs the same in every epoch and fold. `seconds`, `cpu` and `peak` are those of that process,
imports among them: what grows is the difference between two sizes, by utterance, and what is left of the smallest is
start-up. benchmarks/results/scale.json keeps it, beside what other sizes came to before. With `--work` a run that was
ended goes on where it stopped; `--again` measures stages anew.

Where other programs have the caches, a processor takes up to three times as long: sizes that are compared must be
measured one after the other. The table marks what had less than half of a core.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from benchmarks.records import RESULTS, keep, kept, markdown

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
    params["train"] = params["train"] | {"epochs": 1}
    params["method"]["linear"] |= {"C": 1.0}
    params["datasets"][DATASET] |= {"root": "own", "folds": "speaker", "n_folds": 3}
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
    shutil.copytree(ROOT / "presets", folder / "presets")


def measured(folder: Path, stage: Sequence[str]) -> dict[str, float]:
    """Run one stage; its seconds, those of a processor among them, and the most megabytes that it held at once."""
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
    spent = used.ru_utime + used.ru_stime
    return {"seconds": time.monotonic() - started, "cpu": spent, "peak": used.ru_maxrss / 1024}


def scale(
    sizes: Sequence[int],
    methods: Sequence[str],
    until: str,
    only: Sequence[str],
    again: bool,
    work: Path,
    told: Callable[[str, int, dict[str, float]], None],
) -> None:
    """Measure the stages at each size that are not done yet in the folder `work`, or all, and tell each as it ends."""
    for size in sizes:
        folder = work / str(size)
        if not (folder / "params.yaml").exists():  # the last thing that is written of a project
            shutil.rmtree(folder, ignore_errors=True)
            # in a process of its own: the stages count as their own what the process that starts them has held
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as drawing:
                drawing.submit(draw, folder / "own", size).result()
            write_project(folder, methods)
        for stage in (one for one in stages(methods) if not only or {one[0], "@".join(one)} & set(only)):
            name, done = "@".join(stage), folder / f"{'@'.join(stage)}.json"
            if again or not done.exists():
                if stage[0] == "extract":  # or it would find what it has made
                    shutil.rmtree(folder / "data" / DATASET / "features" / stage[1], ignore_errors=True)
                one = measured(folder, stage)
                done.write_text(json.dumps(one), encoding="utf-8")
                print(f"{size:>9,} {name:18} {one['seconds']:8.1f} s {one['peak']:8.0f} MB", flush=True)
            told(name, size, json.loads(done.read_text(encoding="utf-8")))
            if until and stage[0] == until:
                break


def table(content: Mapping[str, Any]) -> str:
    """A row a stage: seconds of a core and MB at each size, and microseconds and bytes an utterance between two.

    A `*` marks what had less than half of a core.
    """
    found: Mapping[str, Mapping[str, Mapping[str, float]]] = content["stages"]
    sizes = sorted({int(size) for own in found.values() for size in own})
    steps = list(itertools.pairwise(sizes))
    head = [
        "stage",
        "start-up",
        *(f"{n:,}" for n in sizes),
        *(f"{a:,} to {b:,}, an utterance" for a, b in steps),
    ]
    rows = []
    for stage, own in found.items():
        at = {n: own.get(str(n)) for n in sizes}
        cells = ["-" if one is None else f"{_marked(one)}, {one['peak']:.0f} MB" for one in at.values()]
        start = "-"
        for a, b in steps:
            first, last = at[a], at[b]
            if first is None or last is None:
                cells.append("-")
                continue
            spent = (last["cpu"] - first["cpu"]) / (b - a) * 1e6
            held = (last["peak"] - first["peak"]) / (b - a) * 2**20
            start = f"{max(first['cpu'] - a * spent / 1e6, 0):.1f} s" if start == "-" else start
            cells.append(f"{spent:.0f} µs, {held:.0f} B")
        rows.append([stage, start, *cells])
    return markdown(head, rows)


def _marked(one: Mapping[str, float]) -> str:
    busy = "*" if one["cpu"] < one["seconds"] / 2 else ""
    return f"{one['cpu']:.1f} s{busy}"


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--methods", nargs="+", default=["linear", "masked"])
    parser.add_argument("--until", default="", help="the last stage to run: masks, for instance")
    parser.add_argument("--only", nargs="*", default=[], help="stages to run, where these need no others")
    parser.add_argument("--again", action="store_true", help="measure stages that were measured before, too")
    parser.add_argument("--work", type=Path, help="folder of the projects, which stay there")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args()
    there = (options.results / "scale.json").is_file()
    content = kept("scale", options.results) if there else {"stages": {}}

    def told(stage: str, size: int, one: dict[str, float]) -> None:
        content["stages"].setdefault(stage, {})[str(size)] = one
        keep("scale", content, options.results)  # after each one: an interrupted run loses nothing

    with tempfile.TemporaryDirectory(prefix="cmarr-scale-") as scratch:
        scale(
            options.sizes,
            options.methods,
            options.until,
            options.only,
            options.again,
            options.work or Path(scratch),
            told,
        )
    # late: a process counts as its own what the one that started it held, and torch is large
    from benchmarks.machine import machine

    keep("scale", {"machine": machine(), **content}, options.results)
    print(table(content))


if __name__ == "__main__":
    main()
