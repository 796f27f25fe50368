"""What bf16 does to the scores: the folds of a dataset trained in both precisions, and the paired difference.

    make demo
    python -m benchmarks.precision                       `masked` and CM-ARR on the demo, one seed: minutes
    python -m benchmarks.precision --data data/ravdess   another dataset whose features are there

Every fold is trained twice from the same seed, and its model asked about its test utterances in the seven conditions.
The difference is bf16 minus fp32, with a 95 % interval (speakers resampled, both precisions on the same ones).

What is answered is kept below the folder `--out`, and a run goes on where the last one stopped; after a change of code
take another folder. A table, and benchmarks/results/precision.json.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, sentence
from benchmarks.records import RESULTS, keep, markdown
from benchmarks.scarcity import Corpus, answered
from cmarr.evaluation.comparison import compare
from cmarr.evaluation.scores import primary
from cmarr.evaluation.summary import summarise
from cmarr.execution.local import set_threads
from cmarr.files import read_json
from cmarr.task import Task

METHODS = ("masked", "cmarr")
ROWS = ("avg7", "svt")


def measure(corpus: Corpus, method: Mapping[str, Any], seeds: int, out: Path) -> dict[str, Any]:
    """avg7, svt -> the score in both precisions, and the difference with its interval, all as fractions."""
    frames = {}
    for precision in ("fp32", "bf16"):
        own = {**method, "train": method["train"] | {"precision": precision, "refit": False}}
        frames[precision] = [f for seed in range(seeds) for f in answered(corpus, own, 1.0, seed, out)]
    metric = primary(corpus.task)
    found = compare(frames["bf16"], frames["fp32"], corpus.task)[metric]
    means = {p: summarise(own, corpus.task)[metric] for p, own in frames.items()}
    return {row: {p: means[p][row]["mean"] for p in means} | found[row] for row in ROWS}


def table(content: Mapping[str, Any]) -> str:
    """Of what `main` keeps."""
    rows = [
        [
            name,
            row,
            f"{100 * own['fp32']:.2f}",
            f"{100 * own['bf16']:.2f}",
            f"{100 * own['difference']:+.2f}",
            f"{100 * own['lo']:+.2f} to {100 * own['hi']:+.2f}",
        ]
        for name, rows in content["result"].items()
        for row, own in rows.items()
    ]
    return markdown(["UAR, %", "available", "fp32", "bf16", "bf16 - fp32", "95 % interval"], rows)


def main() -> None:
    """Train what has not been trained yet; compare, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of a prepared dataset")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... of each training")
    parser.add_argument("--out", type=Path, default=Path(".cmarr/precision"), help="folder of the answers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args()
    found = {}
    for name in options.methods:
        method = read_json(options.data / "settings" / f"{name}.json")
        set_threads(method["train"]["threads"])
        corpus = Corpus(options.data, Task(tuple(method["classes"])), method["cluster"])
        found[name] = measure(corpus, method, options.seeds, options.out)
        print(table({"result": {name: found[name]}}), flush=True)
    on = machine()
    print(f"\n{options.data.name}, seeds: {options.seeds}. {sentence(on)}\n\n{table({'result': found})}")
    keep(
        "precision",
        {"machine": on, "dataset": options.data.name, "seeds": options.seeds, "result": found},
        options.results,
    )


if __name__ == "__main__":
    main()
