"""What bf16 does to the scores: the folds of a dataset trained in both precisions, and the paired difference.

    make demo
    python -m benchmarks.precision                      CM-ARR and `masked` on the demo
    python -m benchmarks.precision --dataset ravdess    on another dataset whose features are there

Every fold is trained twice from the same seed and tested on its own utterances; a fold's score is its UAR averaged over
the seven conditions. The difference is bf16 minus fp32, fold by fold, with a 95 % t-interval over the folds. A table,
and benchmarks/results/precision.json.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.engine import RESULTS
from benchmarks.machine import machine, sentence
from cmarr.data.load import by_id, load_features, load_store
from cmarr.device import choose_device
from cmarr.execution import run_jobs, worker_count
from cmarr.files import read_json
from cmarr.folds.files import read_folds
from cmarr.methods.inference import answer
from cmarr.methods.model import load_model
from cmarr.methods.protocol import Task
from cmarr.modalities import CONDITIONS
from cmarr.training.job import TrainingJob, run_job
from cmarr.training.selection import validation_scores


def scores(data: Path, method: str, precision: str, device: str, folder: Path) -> list[float]:
    """UAR in % on the test utterances of every fold, the mean of the seven conditions."""
    settings = read_json(data / "settings" / f"{method}.json")
    task = Task(tuple(settings["classes"]))
    folds = read_folds(data / "folds.parquet")
    jobs = [
        TrainingJob(
            method=method,
            fold=fold.number,
            seed=settings["seeds"][0],
            settings=settings["settings"],
            train=settings["train"] | {"precision": precision, "refit": False},
            task=task,
            device=device,
            manifest=data / "manifest.parquet",
            features=data / "features",
            folds=data / "folds.parquet",
            folder=folder,
        )
        for fold in folds
    ]
    folder.mkdir()
    run_jobs(
        run_job,
        jobs,
        workers=worker_count("auto") if device == "cpu" else 1,
        threads=1,
        label=f"{method}, {precision}",
        unit="epoch",
        units_per_job=settings["train"]["epochs"],
    )
    utterances, features = by_id(data / "manifest.parquet"), load_features(data / "features")
    found = []
    for fold in folds:
        model = load_model(folder / f"fold{fold.number}-seed{settings['seeds'][0]}.safetensors", device)
        store = load_store(fold.test, utterances, features, task).to(device)
        logits = answer(model.method, model.normaliser, store, CONDITIONS)
        found.append(100 * statistics.mean(validation_scores(logits, store, task).values()))
    return found


def compare(single: list[float], half: list[float]) -> dict[str, Any]:
    """Means, the mean difference and its 95 % interval."""
    differences = [b - a for a, b in zip(single, half, strict=True)]
    mean = statistics.mean(differences)
    reach = stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
    return {
        "fp32": statistics.mean(single),
        "bf16": statistics.mean(half),
        "difference": mean,
        "low": mean - reach,
        "high": mean + reach,
        "folds": differences,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds the dataset's")
    parser.add_argument("--methods", nargs="*", default=["cmarr", "masked"])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device, data = choose_device(options.device), options.data / options.dataset
    found = {}
    for method in options.methods:
        with tempfile.TemporaryDirectory() as scratch:
            both = [scores(data, method, p, device, Path(scratch) / p) for p in ("fp32", "bf16")]
        found[method] = compare(*both)
    on = machine()
    print(f"{options.dataset} on {device}. {sentence(on)}\n")
    print("| UAR, % | fp32 | bf16 | bf16 - fp32 | 95 % interval |\n|---|---|---|---|---|")
    for method, own in found.items():
        interval = f"{own['low']:+.2f} to {own['high']:+.2f}"
        print(f"| {method} | {own['fp32']:.2f} | {own['bf16']:.2f} | {own['difference']:+.2f} | {interval} |")
    text = json.dumps(
        {"machine": on, "dataset": options.dataset, "device": device, "result": found}, indent=2
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "precision.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
