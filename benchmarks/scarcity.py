"""When does recovery pay on a corpus that is at hand? Less and less to learn from, more and more missing.

    dvc repro && python -m benchmarks.scarcity                     the corpus of params.yaml: half an hour for the demo
    python -m benchmarks.scarcity --share 1.0 --method cmarr       a glance, minutes

Every method learns from 1/8, 1/4, 1/2 and all of each fold's training utterances: the first of one shuffled order, so
the smaller parts lie within the larger. Validation and test utterances stay what they are, and so does the number of
steps of an epoch: a batch shrinks with the data. Each model then answers the seven conditions, and test utterances of
which a share of the modalities is missing (the protocol `rate`).

What is answered is kept below the folder `--out`, and a run goes on where the last one stopped; after a change of code
take another folder. scarcity.csv holds each method minus `masked`, the fusion network trained with masks alone, with
paired 95 % intervals (speakers resampled), and the figure draws it by training utterances and by what is missing.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmarr.data.load import by_id, load_store
from cmarr.evaluation.comparison import compare
from cmarr.evaluation.predicting import predictions_of, protocol_predictions
from cmarr.evaluation.predictions import (
    predictions_path,
    read_predictions,
    utterance_columns,
    write_predictions,
)
from cmarr.evaluation.scores import primary
from cmarr.evaluation.sufficient_statistics import levels
from cmarr.features.shards import load_features
from cmarr.files import folder_digest, write_csv
from cmarr.folds.files import Fold, read_folds, write_folds
from cmarr.masks.files import read_masks
from cmarr.methods.model import Model, load_model
from cmarr.report.style import horizontal_grid, looks, save_figure, style
from cmarr.settings.load import load_settings, read_yaml
from cmarr.settings.resolve import resolve
from cmarr.task import Task
from cmarr.training.job import TrainingJob, run_job

SHARES = (0.125, 0.25, 0.5, 1.0)
AGAINST = "masked"
RATE = "rate"


@dataclass(frozen=True)
class Corpus:
    """Where the prepared files of a dataset lie, and what its answers are."""

    folder: Path
    task: Task
    cluster: str

    @property
    def folds(self) -> list[Fold]:
        """As the stage `split` cut them."""
        return read_folds(self.folder / "folds.parquet")


def part(fold: Fold, share: float) -> Fold:
    """The fold with `share` of its training utterances, at least two, in their order."""
    shuffled = np.random.default_rng([0, fold.number]).permutation(len(fold.train))
    kept = sorted(shuffled[: max(round(share * len(fold.train)), 2)])
    return Fold(fold.number, [fold.train[i] for i in kept], fold.validation, fold.test)


def batch_size(whole: int, share: float, batch: int) -> int:
    """As many steps an epoch as with all `whole` training utterances in batches of `batch`."""
    steps = -(-whole // batch)
    return max(-(-round(share * whole) // steps), 2)


def answered(
    corpus: Corpus, method: dict[str, Any], share: float, seed: int, out: Path
) -> list[pd.DataFrame]:
    """Predictions, a frame a fold, of a method trained on `share` of the training utterances; kept below `out`."""
    described = json.dumps([method, share, folder_digest(corpus.folder / "features")], sort_keys=True)
    folder = out / "predictions" / sha256(described.encode()).hexdigest()[:16]
    frames = []
    for fold in corpus.folds:
        place = predictions_path(folder, fold.number, seed)
        if not place.is_file():
            model = trained(corpus, method, fold, share, seed, folder)
            write_predictions(place, tested(corpus, model, fold, seed), corpus.task)
        frames.append(read_predictions(place, None))
    return frames


def trained(
    corpus: Corpus, method: dict[str, Any], fold: Fold, share: float, seed: int, folder: Path
) -> Model:
    """The method trained, as the stage `train` does it, on `share` of the fold's training utterances."""
    write_folds(folder / f"folds{fold.number}.parquet", [part(fold, share)])
    size = batch_size(len(fold.train), share, method["train"]["batch_size"])
    job = TrainingJob(
        method=method["method"],
        fold=fold.number,
        seed=seed,
        settings=method["settings"],
        train=method["train"] | {"batch_size": size},
        task=corpus.task,
        device="cpu",
        manifest=corpus.folder / "manifest.parquet",
        features=corpus.folder / "features",
        folds=folder / f"folds{fold.number}.parquet",
        folder=folder,
    )
    run_job(job, lambda: None)
    return load_model(folder / f"{job.name}.safetensors", "cpu")


def tested(corpus: Corpus, model: Model, fold: Fold, seed: int) -> pd.DataFrame:
    """The model's answers for the fold's test utterances: the seven conditions, and every missing rate."""
    utterances = by_id(corpus.folder / "manifest.parquet")
    own = [utterances[i] for i in fold.test]
    about = utterance_columns(own, corpus.cluster, corpus.task)
    predict = predictions_of(model, fold.number, seed=seed, **about)
    store = load_store(fold.test, utterances, load_features(corpus.folder / "features"), corpus.task)
    masks = {RATE: read_masks(corpus.folder / "masks", RATE)}
    return pd.concat(list(protocol_predictions(predict, store, masks, fold.number)), ignore_index=True)


def differences(
    first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame], task: Task
) -> Iterator[dict[str, Any]]:
    """First minus second: avg6 and svt of the fixed conditions, and every missing rate, with intervals."""
    metric = primary(task)
    found = compare(first, second, task)[metric]
    for row in ("avg6", "svt"):
        yield {"axis": "fixed", "at": row, **found[row]}
    rates = sorted({float(x) for f in first for x in f.loc[f["protocol"] == RATE, "level"]})
    found = compare(first, second, task, protocol=RATE, axis=levels(rates))[metric]
    for rate in rates:
        yield {"axis": RATE, "at": rate, **found[rate]}


def figure(table: pd.DataFrame, methods: Sequence[str], utterances: dict[float, int], metric: str) -> Figure:
    """Each method minus masked: by what is missing, and, where there are several, by training utterances (avg6)."""
    scale = 100 if metric == "UAR" else 1
    look = looks([AGAINST, *methods])
    most = max(utterances)
    sized = table[(table["axis"] == "fixed") & (table["at"] == "avg6")]
    missing = table[(table["axis"] == RATE) & (table["share"] == most)]
    panels = [(missing, "at", f"share of modalities missing; {utterances[most]} training utterances a fold")]
    if len(utterances) > 1:
        panels.insert(0, (sized, "share", "training utterances a fold; mean of the six conditions"))
    with style():
        drawn = Figure(figsize=(2 + 5 * len(panels), 3.8), layout="constrained")
        row = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (rows, column, label) in zip(row, panels, strict=True):
            horizontal_grid(axes)
            axes.axhline(0, color="black", linewidth=0.8)
            ticks = sorted({float(x) for x in rows[column]})
            for k, name in enumerate(methods):
                own = rows[rows["method"] == name]
                own = own.assign(x=own[column].astype(float)).sort_values("x")
                x = [ticks.index(v) + 0.12 * (k - (len(methods) - 1) / 2) for v in own["x"]]
                colour, marker = look[name].colour, look[name].marker
                axes.vlines(x, scale * own["lo"], scale * own["hi"], color=colour, alpha=0.45)
                axes.plot(x, scale * own["difference"], color=colour, marker=marker, markersize=5, label=name)
            shown = [f"{utterances[t]}" if column == "share" else f"{t:g}" for t in ticks]
            axes.set_xticks(range(len(ticks)), shown)
            axes.set_xlabel(label)
        row[0].set_ylabel(f"{metric} minus {AGAINST}" + (", points" if scale == 100 else ""))
        row[0].legend(loc="best", fontsize=8)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", help="a method or an ablation (may be repeated)")
    parser.add_argument("--share", type=float, action="append", help="of the training utterances (repeated)")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... of each training")
    parser.add_argument("--out", type=Path, default=Path(".cmarr/scarcity"), help="folder of the results")
    parser.add_argument("--figure", type=Path, help="where the figure goes (scarcity.png in --out)")
    asked = parser.parse_args()
    names = [n for n in asked.method or ["cmarr", "cmarr_direct", "linear"] if n != AGAINST]
    variants = set(read_yaml("params.yaml")["ablations"])
    settings = load_settings("params.yaml", "presets").model_copy(
        update={
            "methods": tuple(dict.fromkeys(["cmarr", AGAINST, *(n for n in names if n not in variants)])),
            "ablate": tuple(n for n in names if n in variants),
        }
    )
    files = resolve(settings)
    own = files["cmarr"]
    corpus = Corpus(Path("data", settings.dataset), Task(tuple(own["classes"])), own["cluster"])
    asked.out.mkdir(parents=True, exist_ok=True)
    rows, utterances = [], {}
    for share in asked.share or SHARES:
        utterances[share] = round(float(np.mean([len(part(fold, share).train) for fold in corpus.folds])))
        frames = {
            name: [f for s in range(asked.seeds) for f in answered(corpus, files[name], share, s, asked.out)]
            for name in (AGAINST, *names)
        }
        for name in names:
            for cell in differences(frames[name], frames[AGAINST], corpus.task):
                rows.append({"share": share, "utterances": utterances[share], "method": name} | cell)
            print(
                pd.DataFrame([r for r in rows if r["method"] == name and r["at"] == "avg6"]).to_string(),
                flush=True,
            )
        write_csv(asked.out / "scarcity.csv", pd.DataFrame(rows))
    metric = primary(corpus.task)
    place = asked.figure or asked.out / "scarcity.png"
    save_figure(place, figure(pd.DataFrame(rows), names, utterances, metric), dpi=110)


if __name__ == "__main__":
    main()
