"""Every training of the claim, and what it answers; each is kept by itself, so that a run goes on where it stopped."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.claim.corpora import Corpus, Prepared, prepared, settings_of
from benchmarks.claim.plan import DETERMINISTIC, SEEDS
from cmarr.data.load import by_id, load_store
from cmarr.evaluation.predicting import predictions_of
from cmarr.evaluation.predictions import (
    predictions_path,
    read_predictions,
    utterance_columns,
    write_predictions,
)
from cmarr.features.shards import load_features
from cmarr.files import read_json, write_json
from cmarr.folds.files import read_folds
from cmarr.masks.protocols import FIXED
from cmarr.methods.model import load_model
from cmarr.modalities import CONDITIONS
from cmarr.settings.resolve import resolve
from cmarr.training.job import TrainingJob, run_job

COSTS = ("core_seconds", "seconds", "peak_memory_bytes", "parameters", "epochs", "best_epoch", "calibration")


@dataclass(frozen=True)
class Run:
    """One training: a corpus, a method or an ablation, a fold, a seed."""

    corpus: Corpus
    method: str
    fold: int
    seed: int

    def answers(self, out: Path) -> Path:
        """Where its predictions are kept."""
        return predictions_path(out / "answers" / self.corpus.name / self.method, self.fold, self.seed)

    def costs(self, out: Path) -> Path:
        """Where stands what it took."""
        return self.answers(out).with_suffix(".json")


def runs(corpus: Corpus, methods: Sequence[str], folds: Sequence[int], seeds: Sequence[int]) -> Iterator[Run]:
    """Those of a corpus; a closed form has one seed."""
    for method in methods:
        for seed in SEEDS[:1] if method in DETERMINISTIC else seeds:
            for fold in folds:
                yield Run(corpus, method, fold, seed)


def carry_out(corpus: Corpus, methods: Sequence[str], seeds: Sequence[int], out: Path, workers: int) -> None:
    """Make the corpus if need be; train and ask whoever has not answered yet."""
    place = prepared(corpus, out, workers)
    files = resolve(settings_of(corpus, tuple(methods)))
    folds = list(corpus.tested or [fold.number for fold in read_folds(place.folds)])
    carried_out(runs(corpus, methods, folds, seeds), place, files, out)


def carried_out(
    asked: Iterable[Run], place: Prepared, files: Mapping[str, dict[str, Any]], out: Path
) -> None:
    """Train and ask whoever has not answered yet; `files` as `resolve` gives them."""
    for run in asked:
        if not run.answers(out).is_file():
            own = files[run.method]
            frame, told = answered(run, place, own, files.get(f"pretrain/{run.method}", {}), out / "work")
            write_json(run.costs(out), told)
            write_predictions(run.answers(out), frame, place.task)
            where = f"{run.corpus.name} {run.method} fold {run.fold} seed {run.seed}"
            print(f"{where}: {told['core_seconds']:.1f} s", flush=True)


def answered(
    run: Run, place: Prepared, settings: dict[str, Any], first: dict[str, Any], work: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train in the folder `work`, first what the method starts from, if anything; its answers, and what it took."""
    folder = work / run.corpus.name / run.method
    start, costs = None, dict.fromkeys(("core_seconds", "seconds"), 0.0)
    if settings["starts_from"]:
        start = folder / "first"
        costs = _trained(run, place, first, start, None)
    told = _trained(run, place, settings, folder, start)
    told |= {key: told[key] + costs[key] for key in ("core_seconds", "seconds")}
    fold = next(f for f in read_folds(place.folds) if f.number == run.fold)
    utterances = by_id(place.manifest)
    store = load_store(fold.test, utterances, load_features(place.features), place.task)
    about = utterance_columns([utterances[i] for i in fold.test], place.cluster, place.task)
    model = load_model(folder / f"fold{run.fold}-seed{run.seed}.safetensors")
    frame = predictions_of(model, run.fold, seed=run.seed, **about)(store, CONDITIONS)
    shutil.rmtree(folder)  # a model is not needed again
    return frame, {key: told[key] for key in COSTS if key in told}


def _trained(
    run: Run, place: Prepared, settings: dict[str, Any], folder: Path, start: Path | None
) -> dict[str, Any]:
    job = TrainingJob(
        method=settings["method"],
        fold=run.fold,
        seed=run.seed,
        settings=settings["settings"],
        train=settings["train"],
        task=place.task,
        device="cpu",
        manifest=place.manifest,
        features=place.features,
        folds=place.folds,
        folder=folder,
        first_stage=settings.get("first_stage", False),
        starts_from=start,
    )
    return run_job(job, lambda: None)


def answers(corpora: Sequence[Corpus], methods: Sequence[str], out: Path) -> dict[str, list[pd.DataFrame]]:
    """Method -> what it answered on all corpora, a frame a fold and seed; only of seeds that are whole.

    Corpora are folds of one study: a fold, an utterance and a speaker are another one in another corpus.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for method in methods:
        frames: dict[int, list[pd.DataFrame]] = {}
        for number, corpus in enumerate(corpora):
            for path in sorted((out / "answers" / corpus.name / method).glob("fold*-seed*.parquet")):
                frame = read_predictions(path, FIXED)
                own = {
                    key: corpus.name + ":" + frame[key].astype(str) for key in ("id", "cluster", "speaker")
                }
                frame = frame.assign(fold=frame["fold"] + 100 * number, **own)
                frames.setdefault(int(frame["seed"].iloc[0]), []).append(frame)
        most = max(map(len, frames.values()), default=0)
        whole = [own for _, own in sorted(frames.items()) if len(own) == most]
        found |= {method: [frame for own in whole for frame in own]} if whole else {}
    return found


def costs(corpora: Sequence[Corpus], method: str, out: Path) -> list[dict[str, Any]]:
    """What each training of a method took."""
    folders = [out / "answers" / corpus.name / method for corpus in corpora]
    return [read_json(path) for folder in folders for path in sorted(folder.glob("*.json"))]
