"""What bf16 does to the scores: the folds of a dataset trained in fp32 and otherwise, and the paired difference.

    make demo
    python -m benchmarks.precision                       `masked` and CM-ARR on the demo, one seed: minutes
    python -m benchmarks.precision --data data/mosi --methods cmarr --in bf16 recovery recovery+fusion+encoders

Every fold is trained from the same seed in fp32 and as `--in` says (`train.precision`: bf16, or its parts with a plus
between them), and its model asked about its test utterances in the seven conditions. The difference is what `--in`
says minus fp32, with a 95 % interval (clusters resampled, both on the same ones).

What is answered is kept below the folder `--out`, and a run goes on where the last one stopped; after a change of code
take another folder. A table of all datasets that were looked at, and benchmarks/results/precision.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.machine import machine, sentence
from benchmarks.records import RESULTS, command_line, keep, kept, markdown
from benchmarks.scarcity import Corpus, answered
from cmarr.evaluation.comparison import compare
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.evaluation.summary import summarise
from cmarr.execution.local import set_threads
from cmarr.files import read_json
from cmarr.task import Task

METHODS = ("masked", "cmarr")
ROWS = ("avg7", "svt")


def measure(
    corpus: Corpus, method: Mapping[str, Any], ways: Sequence[str], seeds: int, out: Path
) -> dict[str, dict[str, Any]]:
    """Way -> avg7, svt -> the score in fp32 and that way, and the difference with its interval."""

    def frames(way: str) -> list[pd.DataFrame]:
        precision = way if way in ("fp32", "bf16") else way.split("+")
        own = {**method, "train": method["train"] | {"precision": precision, "refit": False}}
        return [frame for seed in range(seeds) for frame in answered(corpus, own, 1.0, seed, out)]

    metric, exact = primary(corpus.task), frames("fp32")
    before, result = summarise(exact, corpus.task)[metric], {}
    for way in ways:
        rounded = frames(way)
        after, found = summarise(rounded, corpus.task)[metric], compare(rounded, exact, corpus.task)[metric]
        result[way] = {
            row: {"fp32": before[row]["mean"], way: after[row]["mean"]} | found[row] for row in ROWS
        }
    return result


def table(content: Mapping[str, Any]) -> str:
    """Of what `main` keeps."""
    head = ["dataset, method", "in", "available", "metric", "fp32", "so", "difference", "95 % interval"]
    lines = []
    for dataset, run in content["runs"].items():
        scale, digits = (1, 3) if run["metric"] in ERRORS else (100, 2)
        metric = run["metric"] if run["metric"] in ERRORS else f"{run['metric']}, %"
        for name, ways in run["result"].items():
            for way, rows in ways.items():
                for row, own in rows.items():
                    plain = [f"{scale * own[key]:.{digits}f}" for key in ("fp32", way)]
                    signed = [f"{scale * own[key]:+.{digits}f}" for key in ("difference", "lo", "hi")]
                    seeds = f"{dataset} ({run['seeds']} seed{'s' * (run['seeds'] > 1)}), {name}"
                    lines.append([seeds, way, row, metric, *plain, signed[0], " to ".join(signed[1:])])
    return markdown(head, lines)


def main() -> None:
    """Train what has not been trained yet; compare, print and keep."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of a prepared dataset")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument(
        "--in", nargs="*", default=["bf16"], dest="ways", help="bf16, recovery, ... (see above)"
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... of each training")
    parser.add_argument("--out", type=Path, default=Path(".cmarr/precision"), help="folder of the answers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args()
    found, before = {}, options.results / "precision.json"
    runs = kept("precision", options.results)["runs"] if before.is_file() else {}
    for name in options.methods:
        method = read_json(options.data / "settings/train" / f"{name}.json")
        set_threads(method["train"]["threads"])
        corpus = Corpus(options.data, Task(tuple(method["classes"])), method["cluster"])
        found[name] = measure(corpus, method, options.ways, options.seeds, options.out)
    on = machine()
    run = {"machine": on, "metric": primary(corpus.task), "seeds": options.seeds, "result": found}
    content = {"machine": on, "runs": runs | {options.data.name: run}}
    print(f"{sentence(on)}\n\n{table(content)}")
    keep("precision", content, options.results)


if __name__ == "__main__":
    main()
