"""Bias and variance of each method, its learning curve, and what few labels and holes in training do to it.

    python -m benchmarks.variance run                  every training, an hour of one core once the corpora are there
    python -m benchmarks.variance run --seeds 2        with a second seed, whose variance is told from that of the data
    python -m benchmarks.variance keep                 benchmarks/results/variance.json of what was answered so far

Four generated corpora that were looked at before (`benchmarks/claim/plan.py`: the tuning corpora; and `demo_large`) are
one population of speakers. Eight speakers of the largest are tested; the others are dealt, whole, to disjoint training
sets, each with speakers of its own that choose. A method is trained on each set, and of the answers p, q of two models
that have no training speaker (and no seed) in common, for a test utterance whose class is the unit vector y,

    (|p - y|^2 + |q - y|^2) / 2 = (p - y).(q - y) + |p - q|^2 / 2.

On the left is their Brier score; on the right are estimates without bias of the squared bias, what no label can tell
apart counted in, and of the variance (Kohavi and Wolpert 1996, squared instead of 0/1 loss). All pairs are averaged, so
the parts add up exactly. Two models of one set and two seeds give the seed's part of the variance.

Answers are kept training by training below the folder `--out`, and a run goes on where the last one stopped.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claim.corpora import Corpus, Prepared, prepared, settings_of
from benchmarks.claim.plan import DETERMINISTIC, SEEDS, TUNING
from benchmarks.claim.runs import Run, carried_out, runs
from benchmarks.machine import machine
from benchmarks.records import keep
from cmarr.corpora.manifest import read_manifest, write_manifest
from cmarr.evaluation.comparison import compare_pairs
from cmarr.evaluation.predictions import columns, read_predictions
from cmarr.evaluation.summary import summarise
from cmarr.features.shards import read_features, shard_path, write_shard
from cmarr.files import read_json
from cmarr.folds.files import Fold, write_folds
from cmarr.modalities import COMPLETE, INCOMPLETE, NAMES
from cmarr.settings.resolve import resolve
from cmarr.task import Task
from cmarr.utterance import FeatureSequence, Utterance

NAME = "variance"
METHODS = ("gaussian", "recovered", "linear", "late", "masked", "anchored", "cmarr", "gbdt", "dicmor")
AGAINST = "linear"
"""What recovers nothing and fits one model a condition: every other method is told minus it."""

LARGE = Corpus("960-3", "demo_large", (("seed", 3), ("sessions", 10), ("utterances", 960)))
"""Twenty speakers of 48 utterances; those of `TUNING` have 24."""
TESTED = 8
"""Of its speakers; the first, in the order of their names."""
ALL = Corpus("pooled", LARGE.dataset)

DEALT = {72: (0, 3, 0, 1), 144: (1, 4, 0, 2), 480: (4, 12, 2, 3)}
"""Training utterances -> speakers that train, of 48 and of 24 utterances, and speakers that choose, likewise."""
CONDITIONS_OF = {"avg6": list(INCOMPLETE), "svt": [COMPLETE]}
ROWS = tuple(CONDITIONS_OF)
SETS = 5
"""Training sets of a size at most; of 480 utterances there are two."""


@dataclass(frozen=True)
class Diet:
    """What the trainings of a row learn from: utterances, share of the labels, rate of missing modalities."""

    utterances: int
    labels: float = 1.0
    holes: float = 0.0

    def __str__(self) -> str:
        scarce = f", {self.labels:.0%} of the labels" if self.labels < 1 else ""
        return f"{self.utterances}{scarce}" + (f", {self.holes:.0%} holes" if self.holes else "")


DIETS = (
    Diet(144),
    Diet(480),
    *(Diet(480, labels=share) for share in (0.15, 0.3, 0.6)),
    Diet(480, holes=0.3),
    Diet(72),
)
"""In the order in which they are run; 15 and 30 % of 480 labels are as many as the smaller sets have utterances."""


def pooled(out: Path, workers: int) -> tuple[Prepared, dict[Diet, list[Fold]]]:
    """All corpora as one, below `out`, and the folds of each diet: its disjoint training sets."""
    parts = [prepared(corpus, out, workers) for corpus in (LARGE, *TUNING)]
    place = replace(parts[0], corpus=ALL, folder=out / "corpora" / ALL.name)
    own = [_named(part, read_manifest(part.manifest)) for part in parts]
    folds = dealt([{u.id: u.speaker or u.id for u in some} for some in (own[0], chain(*own[1:]))])
    write_folds(place.folds, [fold for some in folds.values() for fold in some])
    if not place.manifest.is_file():
        for modality in NAMES.values():
            for number, part in enumerate(parts):
                _copy(part, modality, shard_path(place.features / modality, number))
        write_manifest(place.manifest, list(chain(*own)))
    return place, folds


def _named(part: Prepared, utterances: Sequence[Utterance]) -> list[Utterance]:
    name = part.corpus.name
    return [replace(u, id=f"{name}-{u.id}", speaker=f"{name}-{u.speaker}") for u in utterances]


def _copy(part: Prepared, modality: str, place: Path) -> None:
    table = read_features(part.features / modality)
    assert table is not None  # the generator gives every modality to nearly all
    frames = np.split(table.values.astype(np.float32), table.offsets[1:-1])
    own = zip(table.ids, frames, strict=True)
    write_shard(place, [FeatureSequence(f"{part.corpus.name}-{i}", x, np.zeros(len(x))) for i, x in own], {})


def dealt(speaker_of: Sequence[Mapping[str, str]]) -> dict[Diet, list[Fold]]:
    """Diet -> its training sets: whole speakers, none in two sets; all are tested on the same speakers.

    speaker_of: utterance -> its speaker, of the corpus whose speakers have many utterances, and of the others.
    """
    many, few = (sorted(set(own.values())) for own in speaker_of)
    home = {**speaker_of[0], **speaker_of[1]}
    tested = set(many[:TESTED])
    test = [i for i, speaker in home.items() if speaker in tested]
    found = {}
    for number, diet in enumerate(DIETS, 1):
        rng = np.random.default_rng([0, diet.utterances])  # the same sets for all diets of a size
        queues = [list(rng.permutation(many[TESTED:])), list(rng.permutation(few))]
        sets: list[Fold] = []
        while len(sets) < SETS and all(
            len(q) >= a + b for q, a, b in zip(queues, *_halves(diet), strict=True)
        ):
            train, validation = (
                {queue.pop() for queue, count in zip(queues, counts, strict=True) for _ in range(count)}
                for counts in _halves(diet)
            )
            chooses = [i for i, s in home.items() if s in validation]
            kept = rng.permutation(chooses)[: round(diet.labels * len(chooses))].tolist()
            sets.append(
                Fold(100 * number + len(sets), [i for i, s in home.items() if s in train], kept, test)
            )
        found[diet] = sets
    return found


def _halves(diet: Diet) -> tuple[tuple[int, int], tuple[int, int]]:
    counts = DEALT[diet.utterances]
    return counts[:2], counts[2:]


def fed(settings: Mapping[str, Any], diet: Diet) -> dict[str, Any]:
    """A method's settings, or those of what it starts from, with the diet's labels and holes."""
    return {**settings, "train": {**settings["train"], "labels": diet.labels, "holes": diet.holes}}


def measured(
    frames: Mapping[str, Sequence[pd.DataFrame]], costs: Mapping[str, float], task: Task
) -> dict[str, Any]:
    """Method -> its scores, the parts of its Brier score, and how these differ from `AGAINST`; of one diet.

    frames: a method's predictions, one frame a training set and seed, all of the same utterances.
    """
    pairs = [(name, AGAINST) for name in frames if name != AGAINST and AGAINST in frames]
    compared = compare_pairs(frames, pairs, task, deterministic=DETERMINISTIC)
    parts = {name: parted(own, task) for name, own in frames.items()}
    found: dict[str, Any] = {}
    for name, own in frames.items():
        scores = summarise(own, task)["UAR"]
        mean = summarise([averaged(own, task)], task)["UAR"]
        found[name] = {
            "sets": len({int(f["fold"].iloc[0]) for f in own}),
            "seeds": len({int(f["seed"].iloc[0]) for f in own}),
            "UAR": {row: [scores[row][key] for key in ("mean", "lo", "hi")] for row in ROWS},
            "UAR of the average": {row: mean[row]["mean"] for row in ROWS},
            "parts": {row: _rounded(_of(parts[name], row)) for row in ROWS},
            "core_seconds": round(costs[name], 2),
        }
        if (name, AGAINST) in compared:
            cells = {row: compared[name, AGAINST]["UAR"][row] for row in ROWS}
            found[name]["minus"] = {"UAR": cells} | {
                part: _paired(parts[name][part] - parts[AGAINST][part]) for part in ("bias", "variance")
            }
    return found


def parted(frames: Sequence[pd.DataFrame], task: Task) -> pd.DataFrame:
    """A row a condition and test utterance: Brier score, squared bias, variance, the seed's part of it (or NaN)."""
    ordered = [f.sort_values(["condition", "id"]).reset_index(drop=True) for f in frames]
    one = ordered[0]
    truth = one["label"].to_numpy()[:, None] == np.array(task.classes)  # (N, K)
    errors = [f[columns(task)].to_numpy(np.float64) - truth for f in ordered]
    of = [(int(f["fold"].iloc[0]), int(f["seed"].iloc[0])) for f in ordered]
    several = len({seed for _, seed in of}) > 1
    apart, seeds = [], []
    for (a, (fold, seed)), (b, (other, its)) in combinations(zip(errors, of, strict=True), 2):
        spread = ((a - b) ** 2).sum(1) / 2
        if fold != other and (seed != its or not several):
            apart.append(((a * b).sum(1), spread))
        if fold == other:
            seeds.append(spread)
    bias, variance = np.mean(apart, axis=0)
    seed = np.mean(seeds, axis=0) if seeds else np.full(len(one), np.nan)
    brier = np.mean([(e**2).sum(1) for e in errors], axis=0)
    found = one[["condition", "id", "cluster"]].assign(brier=brier, bias=bias, variance=variance, seed=seed)
    return found[one["n_usable"] > 0].set_index(["condition", "cluster", "id"])


def averaged(frames: Sequence[pd.DataFrame], task: Task) -> pd.DataFrame:
    """The mean of all probabilities, as if one model had given them."""
    own = [f.set_index(["condition", "id"])[columns(task)] for f in frames]
    one = frames[0].set_index(["condition", "id"])
    return one.assign(**(sum(own[1:], own[0]) / len(own)), uncertainty=np.nan).reset_index()


def _of(parts: pd.DataFrame | pd.Series, row: str) -> Any:
    """Means over utterances, then over the conditions of a row."""
    return parts.groupby(level="condition").mean().loc[CONDITIONS_OF[row]].mean()


def _paired(parts: pd.Series) -> dict[str, dict[str, float]]:
    """Of a difference of parts: mean and 95 % interval, test speakers resampled."""
    by = parts.groupby(level=["condition", "cluster"]).agg(["sum", "count"]).unstack("cluster")
    weights = np.random.default_rng(0).multinomial(
        len(by["sum"].columns), np.full(len(by["sum"].columns), 1 / len(by["sum"].columns)), 2000
    )
    found = {}
    for row, conditions in CONDITIONS_OF.items():
        own = by.loc[conditions]
        drawn = (own["sum"].to_numpy() @ weights.T / (own["count"].to_numpy() @ weights.T)).mean(0)
        lo, hi = np.quantile(drawn, [0.025, 0.975])
        found[row] = _rounded({"difference": _of(parts, row), "lo": lo, "hi": hi})
    return found


def _rounded(cells: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else round(float(value), 5) for key, value in cells.items()}


def keep_all(place: Prepared, folds: Mapping[Diet, Sequence[Fold]], out: Path) -> dict[str, Any]:
    """Measure every diet as far as it was answered, and keep it; a seed counts where all sets have it."""
    diets = {}
    for diet, sets in folds.items():
        frames: dict[str, list[pd.DataFrame]] = {}
        costs = {}
        for method in METHODS:
            asked = [[Run(ALL, method, fold.number, seed) for fold in sets] for seed in SEEDS]
            whole = [run for own in asked if all(r.answers(out).is_file() for r in own) for run in own]
            if whole:
                frames[method] = [read_predictions(run.answers(out)) for run in whole]
                costs[method] = float(np.mean([read_json(r.costs(out))["core_seconds"] for r in whole]))
        if AGAINST in frames:
            diets[str(diet)] = {
                "trained_on": len(sets[0].train),
                "choosing": len(sets[0].validation),
                "sets": len(sets),
                "methods": measured(frames, costs, place.task),
            }
    content = {"tested": {"utterances": len(sets[0].test), "speakers": TESTED}, "diets": diets}
    content["machine"] = machine()
    keep(NAME, content)
    return content


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "keep"))
    parser.add_argument("--method", action="append", help="(may be repeated; all)")
    parser.add_argument(
        "--diet", action="append", choices=[str(d) for d in DIETS], help="(may be repeated; all)"
    )
    parser.add_argument("--seeds", type=int, default=1, help="of each training: 0, 1, ...")
    parser.add_argument("--workers", type=int, default=1, help="processes that make a corpus")
    parser.add_argument(
        "--out", type=Path, default=Path(".cmarr/variance"), help="folder of corpora and answers"
    )
    asked = parser.parse_args()
    place, folds = pooled(asked.out, asked.workers)
    if asked.command == "keep":
        keep_all(place, folds, asked.out)
        return
    files = resolve(settings_of(LARGE, METHODS))
    for seed in SEEDS[: asked.seeds]:
        for diet in [d for d in DIETS if str(d) in (asked.diet or map(str, DIETS))]:
            numbers = [fold.number for fold in folds[diet]]
            own = {
                name: fed(settings, diet) if "train" in settings else settings
                for name, settings in files.items()
            }
            carried_out(runs(ALL, asked.method or METHODS, numbers, (seed,)), place, own, asked.out)


if __name__ == "__main__":
    main()
