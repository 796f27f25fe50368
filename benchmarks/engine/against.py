"""A step of an earlier revision and one of the working tree, method by method, in turns.

Each has a process (benchmarks/engine/stepper.py) that trains in its own revision's loop, with the same features and
sizes. The earlier one gets the package `cmarr` out of git. Of a revision that cannot be driven so, a sentence says why.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from benchmarks.records import markdown
from benchmarks.sizes import RUNS, Run

ROOT = Path(__file__).parents[2]

BEFORE = "2d19ecc"
"""The last revision before an epoch's order and masks were drawn ahead of its steps."""

WARM_UP = 2
"""Steps of each method that do not count."""


def measure(
    steps: int, before: str = BEFORE, runs: Mapping[str, Run] = RUNS, threads: int = 1
) -> dict[str, Any]:
    """Milliseconds an utterance and step of both, the median of the steps.

    Raises SystemExit with a sentence where the revision is not there or cannot be driven.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_ones:
        unpack(before, Path(folder))
        order = json.dumps({"runs": dict(runs), "steps": WARM_UP + steps, "threads": threads})
        trees = {"before": Path(folder), "now": ROOT}
        both = {name: open_ones.enter_context(_Stepper(tree, order)) for name, tree in trees.items()}
        found = {}
        for run, (_, _, batch) in runs.items():
            times: dict[str, list[float]] = {name: [] for name in both}
            for _ in range(WARM_UP + steps):
                for name, stepper in both.items():
                    times[name].append(stepper.step(before if name == "before" else "the working tree"))
            medians = {name: 1000 * statistics.median(own[WARM_UP:]) / batch for name, own in times.items()}
            found[run] = {"batch": batch, **medians, "ratio": medians["before"] / medians["now"]}
    return found


def unpack(revision: str, folder: Path) -> None:
    """The package `cmarr` of a revision, in a folder."""
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", revision, "cmarr"],
        check=False,
        capture_output=True,
    )
    if packed.returncode:
        raise SystemExit(f"{revision}: git has no such revision with a package cmarr")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")


class _Stepper:
    """A process that trains with the `cmarr` of a folder, and makes one step whenever it is told to."""

    def __init__(self, tree: Path, order: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engine.stepper", str(tree)],
            cwd=tree,  # the first place where Python looks for cmarr; benchmarks are those of here
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tree, ROOT)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin and self.process.stdout
        self.told, self.says = self.process.stdin, self.process.stdout
        print(order, file=self.told, flush=True)

    def __enter__(self) -> "_Stepper":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.says.close()
        with suppress(BrokenPipeError):
            self.told.close()

    def step(self, revision: str) -> float:
        """Seconds."""
        with suppress(BrokenPipeError):  # it may have ended, and said why
            print("step", file=self.told, flush=True)
        said = self.says.readline()
        answer = json.loads(said) if said else {"failed": "its process died"}
        if "failed" in answer:
            raise SystemExit(
                f"{revision} cannot be driven by benchmarks/engine/stepper.py: {answer['failed']}"
            )
        return float(answer["seconds"])


def table(found: Mapping[str, Any]) -> str:
    return markdown(
        ["ms an utterance", "before", "now", "times as fast"],
        [
            [name, f"{own['before']:.2f}", f"{own['now']:.2f}", f"{own['ratio']:.2f}"]
            for name, own in found.items()
        ],
    )
