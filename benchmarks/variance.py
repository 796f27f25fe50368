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
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.claim.corpora import Corpus, Prepared, prepared, settings_of
from benchmarks.claim.plan import SEEDS, TUNING
from benchmarks.claim.runs import Run, carried_out, runs
from benchmarks.claim.table import difference
from benchmarks.machine import machine
from benchmarks.records import keep, markdown
from cmarr.analyses.ensembles import averaged
from cmarr.corpora.manifest import read_manifest, write_manifest
from cmarr.evaluation.comparison import compare
from cmarr.evaluation.predictions import columns, read_predictions
from cmarr.evaluation.summary import summarise
from cmarr.features.shards import read_features, shard_path, write_shard
from cmarr.files import read_json
from cmarr.folds.files import Fold, write_folds
from cmarr.modalities import COMPLETE, INCOMPLETE, NAMES
from cmarr.report.style import COLOURS, FAINT, horizontal_grid, looks, style
from cmarr.settings.resolve import resolve
from cmarr.task import Task
from cmarr.utterance import FeatureSequence, Utterance

NAME = "variance"
METHODS = (
    "gaussian",
    "recovered",
    "recovered_zeros",
    "linear",
    "late",
    "masked",
    "anchored",
    "cmarr",
    "gbdt",
    "dicmor",
)
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
CELL = ("difference", "lo", "hi")
KINDS = ("probabilities", "decisions")
"""Which answers: of the second, the loss is the share of wrong ones, and how sure a model is does not count."""
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
    place = replace(parts[0], of=ALL, root=out / "corpora" / ALL.name)
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
    name = part.of.name
    return [replace(u, id=f"{name}-{u.id}", speaker=f"{name}-{u.speaker}") for u in utterances]


def _copy(part: Prepared, modality: str, place: Path) -> None:
    table = read_features(part.features / modality)
    assert table is not None  # the generator gives every modality to nearly all
    frames = np.split(table.values.astype(np.float32), table.offsets[1:-1])
    own = zip(table.ids, frames, strict=True)
    write_shard(place, [FeatureSequence(f"{part.of.name}-{i}", x, np.zeros(len(x))) for i, x in own], {})


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
    """Method -> its scores, the parts of its loss, and how these differ from `AGAINST`; of one diet.

    frames: a method's predictions, one frame a training set and seed, all of the same utterances.
    """
    found: dict[str, Any] = {}
    for name, own in frames.items():
        sets = {int(f["fold"].iloc[0]) for f in own}
        scores = summarise(own, task)["UAR"]
        mean = summarise(averaged([f.assign(fold=1) for f in own], task), task)["UAR"]
        parts = {kind: parted(own, task, decided=kind == "decisions") for kind in KINDS}
        found[name] = {
            "sets": len(sets),
            "seeds": len({int(f["seed"].iloc[0]) for f in own}),
            "UAR": {row: [scores[row][key] for key in ("mean", "lo", "hi")] for row in ROWS},
            "UAR of the average": {row: mean[row]["mean"] for row in ROWS},
            **{kind: {row: _rounded(_of(parts[kind], row)) for row in ROWS} for kind in KINDS},
            "core_seconds": round(costs[name], 2),
        }
        if name != AGAINST:  # on the same sets
            other = [f for f in frames[AGAINST] if int(f["fold"].iloc[0]) in sets]
            cells = compare(*_beside(own, other), task)["UAR"]
            minus: dict[str, Any] = {"UAR": {row: {key: cells[row][key] for key in CELL} for row in ROWS}}
            for kind in KINDS:
                theirs = parted(other, task, decided=kind == "decisions")
                minus[kind] = {
                    part: _paired(parts[kind][part] - theirs[part]) for part in ("bias", "variance")
                }
            found[name]["minus"] = minus
    return found


def _beside(
    own: Sequence[pd.DataFrame], other: Sequence[pd.DataFrame]
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """Each training of `own`, and the first of `other` on its set, as folds of one study: speakers alone are chance.

    Two seeds of one method would widen its interval by Student's quantile of a single difference, and stand in a
    column with methods of one.
    """
    by_set = {int(f["fold"].iloc[0]): f for f in reversed(other)}
    pairs = [(f, by_set[int(f["fold"].iloc[0])]) for f in own]
    one, two = ([f.assign(fold=k, seed=0) for k, f in enumerate(side)] for side in zip(*pairs, strict=True))
    return one, two


def parted(frames: Sequence[pd.DataFrame], task: Task, *, decided: bool = False) -> pd.DataFrame:
    """A row a condition and test utterance: loss, squared bias, variance, the seed's part of it (or NaN).

    The loss is the Brier score; with `decided` an answer is its likeliest class, and the loss is 1 where that is wrong.
    """
    ordered = [f.sort_values(["condition", "id"]).reset_index(drop=True) for f in frames]
    one = ordered[0]
    truth = one["label"].to_numpy()[:, None] == np.array(task.classes)  # (N, K)
    answers = [f[columns(task)].to_numpy(np.float64) for f in ordered]
    if decided:  # a unit vector; of two that differ half the squared distance is 1
        answers = [np.eye(len(task.classes))[a.argmax(1)] for a in answers]
    errors = [(a - truth) * (2**-0.5 if decided else 1.0) for a in answers]
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
    loss = np.mean([(e**2).sum(1) for e in errors], axis=0)
    found = one[["condition", "id", "cluster"]].assign(loss=loss, bias=bias, variance=variance, seed=seed)
    return found[one["n_usable"] > 0].set_index(["condition", "cluster", "id"])


def _of(parts: pd.DataFrame | pd.Series, row: str) -> Any:
    """Means over utterances, then over the conditions of a row."""
    return parts.groupby(level="condition").mean().loc[CONDITIONS_OF[row]].mean()


def _paired(parts: pd.Series) -> dict[str, dict[str, float | None]]:
    """Of a difference of parts: mean and 95 % interval, test speakers resampled."""
    by = parts.groupby(level=["condition", "cluster"]).agg(["sum", "count"]).unstack("cluster")
    clusters = by["sum"].shape[1]
    weights = np.random.default_rng(0).multinomial(clusters, np.full(clusters, 1 / clusters), 2000).T
    found = {}
    for row, conditions in CONDITIONS_OF.items():
        own = by.loc[conditions]
        drawn = (own["sum"].to_numpy() @ weights / (own["count"].to_numpy() @ weights)).mean(0)
        lo, hi = np.quantile(drawn, [0.025, 0.975])
        found[row] = _rounded({"difference": _of(parts, row), "lo": lo, "hi": hi})
    return found


def _rounded(cells: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else round(float(value), 5) for key, value in cells.items()}


def keep_all(place: Prepared, folds: Mapping[Diet, Sequence[Fold]], out: Path) -> dict[str, Any]:
    """Measure every diet as far as it was answered, and keep it; a seed counts with as many sets as the first has."""
    diets = {}
    for diet, sets in folds.items():
        frames: dict[str, list[pd.DataFrame]] = {}
        costs = {}
        for method in METHODS:
            done = [
                [run for fold in sets if (run := Run(ALL, method, fold.number, seed)).answers(out).is_file()]
                for seed in SEEDS
            ]
            whole = [run for own in done if len(own) == len(done[0]) > 1 for run in own]
            if whole:
                frames[method] = [read_predictions(run.answers(out)) for run in whole]
                costs[method] = float(np.mean([read_json(r.costs(out))["core_seconds"] for r in whole]))
        if AGAINST in frames:
            diets[str(diet)] = {
                "trained_on": len(sets[0].train),
                "choosing": len(sets[0].validation),
                "methods": measured(frames, costs, place.task),
            }
    content = {"tested": {"utterances": len(sets[0].test), "speakers": TESTED}, "diets": diets}
    content["machine"] = machine()
    keep(NAME, content)
    return content


def parts_table(content: Mapping[str, Any]) -> str:
    """What the error is made of: a row a size and method; the mean of the six incomplete conditions."""
    head = ["learns from", "method", "sets", "seeds", "UAR", "of the average"]
    head += ["Brier", "= bias²", "+ variance", "errors, %", "= bias²", "+ variance", "of the seed"]
    rows = []
    for diet in (str(Diet(size)) for size in sorted(DEALT)):
        for name, own in content["diets"].get(diet, {"methods": {}})["methods"].items():
            sure, decided = (own[kind]["avg6"] for kind in KINDS)
            scores = (own["UAR"]["avg6"][0], own["UAR of the average"]["avg6"])
            rows.append(
                [
                    *(diet, name, f"{own['sets']}", f"{own['seeds']}"),
                    *(f"{100 * score:.1f}" for score in scores),
                    *(f"{sure[key]:.3f}" for key in ("loss", "bias", "variance")),
                    *(f"{100 * decided[key]:.1f}" for key in ("loss", "bias", "variance")),
                    "" if decided["seed"] is None else f"{100 * decided['seed']:.1f}",
                ]
            )
    return markdown(head, rows)


def minus_table(content: Mapping[str, Any]) -> str:
    """The same minus `AGAINST`, of decisions, in points."""
    rows = []
    for diet in (str(Diet(size)) for size in sorted(DEALT)):
        for name, own in content["diets"].get(diet, {"methods": {}})["methods"].items():
            if minus := own.get("minus"):
                cells = (minus["decisions"][part]["avg6"] for part in ("bias", "variance"))
                rows.append([diet, name, *(difference({**cell, "shown": 0}, points=True) for cell in cells)])
    return markdown(
        ["learns from", "method", f"bias² minus {AGAINST}'s", f"variance minus {AGAINST}'s"], rows
    )


def curve_table(content: Mapping[str, Any]) -> str:
    """Each method minus `AGAINST` by what it learnt from: UAR, points; of `AGAINST` itself its UAR."""
    order = dict.fromkeys(str(d) for d in (*map(Diet, sorted(DEALT)), *DIETS))
    diets = [diet for diet in order if diet in content["diets"]]
    rows = []
    for name in METHODS:
        cells = [content["diets"][d]["methods"].get(name) for d in diets]
        told = [
            ""
            if own is None
            else difference({**own["minus"]["UAR"]["avg6"], "shown": 0}, points=True)
            if name != AGAINST
            else f"{100 * own['UAR']['avg6'][0]:.1f} %"
            for own in cells
        ]
        rows += [[f"{name} - {AGAINST}" if name != AGAINST else AGAINST, *told]] if any(told) else []
    return markdown(["UAR, avg6", *diets], rows)


def figure(content: Mapping[str, Any]) -> Figure:
    """Bias and variance of each method, a panel a size; then its UAR minus `AGAINST`'s by labels learnt from."""
    sizes = [d for d in map(Diet, sorted(DEALT)) if str(d) in content["diets"]]
    with style():
        drawn = Figure(figsize=(3.1 * len(sizes) + 5.2, 4.0), layout="constrained")
        *bars, curve = drawn.subplots(1, len(sizes) + 1, width_ratios=[*[1] * len(sizes), 1.5])
        for axes, diet in zip(bars, sizes, strict=True):
            found = content["diets"][str(diet)]["methods"]
            bias, variance = (
                [100 * o["decisions"]["avg6"][key] for o in found.values()] for key in ("bias", "variance")
            )
            told = ("bias²", "variance") if axes is bars[0] else (None, None)
            axes.barh(list(found), bias, color=FAINT, label=told[0])
            axes.barh(list(found), variance, left=bias, color=COLOURS[4], label=told[1])
            axes.invert_yaxis()
            axes.set_title(f"{diet.utterances} utterances")
            axes.set_xlabel("errors, %")
        limit = max(axes.get_xlim()[1] for axes in bars)
        for axes in bars:
            axes.set_xlim(0, limit)
        _draw_curves(curve, content, sizes)
        drawn.legend(loc="outside right center", fontsize=8)
    return drawn


def _draw_curves(axes: Axes, content: Mapping[str, Any], sizes: Sequence[Diet]) -> None:
    look = looks(METHODS)
    horizontal_grid(axes)
    axes.axhline(0, color="black", linewidth=0.8)
    for k, name in enumerate(n for n in METHODS if n != AGAINST):
        own = look[name]
        for few, diets in ((False, sizes), (True, [d for d in DIETS if d.utterances == 480])):
            points = _points(content, name, diets)
            x = [n * 1.02 ** (k - 4) for n, _ in points]
            axes.plot(
                x,
                [100 * cell["difference"] for _, cell in points],
                color=own.colour,
                marker="" if few else own.marker,
                markersize=5,
                linestyle=":" if few else "-",
                label=None if few or not points else name,
            )
            if not few:
                lo, hi = ([100 * cell[key] for _, cell in points] for key in ("lo", "hi"))
                axes.vlines(x, lo, hi, color=own.colour, alpha=0.25)
    axes.set_xscale("log")
    axes.set_xticks(sorted(DEALT), [str(size) for size in sorted(DEALT)])
    axes.minorticks_off()
    axes.set_xlabel("labels learnt from; dotted: of 480 recordings")
    axes.set_ylabel(f"UAR minus {AGAINST}, points")


def _points(
    content: Mapping[str, Any], name: str, diets: Sequence[Diet]
) -> list[tuple[float, dict[str, Any]]]:
    """Labels -> the difference to `AGAINST`, of the diets without holes that a method was measured on."""
    found = {}
    for diet in diets:
        own = content["diets"].get(str(diet), {"methods": {}})["methods"].get(name)
        if own and not diet.holes:
            found[diet.labels * diet.utterances] = own["minus"]["UAR"]["avg6"]
    return sorted(found.items())


def words(content: Mapping[str, Any]) -> str:
    """What the picture shows."""
    size = max((d for d in map(Diet, DEALT) if str(d) in content["diets"]), key=lambda d: d.utterances)
    own = {name: o["decisions"]["avg6"] for name, o in content["diets"][str(size)]["methods"].items()}
    told = "; ".join(f"{name} {100 * o['bias']:.1f} + {100 * o['variance']:.1f}" for name, o in own.items())
    return f"Errors of each method in %, squared bias plus variance, and its UAR minus {AGAINST}'s; {size}: {told}"


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
