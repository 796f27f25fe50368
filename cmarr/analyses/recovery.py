"""How near recovered representations come to the true ones (the numbers behind the paper's Figure 5).

Ridge regression from the available modalities' representations, step by step, is the yardstick: a recovery
that explains no more of the truth than that has not earned its flows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from sklearn.linear_model import RidgeCV
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.evaluation.resampling import paired_difference
from cmarr.modalities import NAMES
from cmarr.report.page import Block, Points, Section
from cmarr.report.picture import picture
from cmarr.report.style import COLOURS, FAINT, style
from cmarr.report.table import Table, slugs

if TYPE_CHECKING:
    from cmarr.analyses.models import FoldData
    from cmarr.methods.inference import Recoveries
    from cmarr.methods.model import Model

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
"""Ridge's penalty is chosen among these on the training split, leaving one step out."""

MEASURES = ("cosine", "cosine_other", "mse", "unexplained", "unexplained_ridge", "rank", "agreement")


@dataclass(frozen=True)
class Pair:
    """Truth and recovery of one modality from one set of sources, (R, L, d) each.

    agrees: (R,) bool, whether both lead to the same class.
    """

    sources: str
    missing: str
    truth: np.ndarray
    recovered: np.ndarray
    ridge: np.ndarray
    agrees: np.ndarray


def measure(pair: Pair) -> pd.DataFrame:
    """One row an utterance, R >= 2:

    cosine, cosine_other: of the recovered vector with its own truth, and its mean with the other utterances'
                          truths (vectors are means over the L steps)
    mse:                  mean squared error over all L * d entries, as in L_rec
    unexplained, unexplained_ridge: squared error divided by the truths' mean squared distance from their mean,
                          so that the mean over utterances is the unexplained variance, 1 - R^2
    rank:                 share of the other utterances' truths that lie nearer to the recovered vector than its
                          own truth: 0 the best, 0.5 chance
    agreement:            1 where the recovered modality leads to the class that the true one leads to, else 0
    """
    truth, recovered = pair.truth.mean(1), pair.recovered.mean(1)  # (R, d)
    count = len(truth)
    cosine = 1 - cdist(recovered, truth, "cosine")  # (R, R)
    distance = cdist(recovered, truth)
    own = np.diagonal(cosine)
    squares = np.square(pair.truth - pair.truth.mean((0, 1)))
    spread = squares.sum((1, 2)).mean()
    error, ridge = (np.square(x - pair.truth) for x in (pair.recovered, pair.ridge))
    return pd.DataFrame(
        {
            "sources": pair.sources,
            "missing": pair.missing,
            "cosine": own,
            "cosine_other": (cosine.sum(1) - own) / (count - 1),
            "mse": error.mean((1, 2)),
            "unexplained": error.sum((1, 2)) / spread,
            "unexplained_ridge": ridge.sum((1, 2)) / spread,
            "rank": (distance < np.diagonal(distance)[:, None]).sum(1) / (count - 1),
            "agreement": pair.agrees.astype(np.float64),
        }
    )


def ridge_prediction(
    train_sources: Sequence[np.ndarray], train_truth: np.ndarray, sources: Sequence[np.ndarray]
) -> np.ndarray:
    """Ridge regression of a modality's steps on the same steps of its sources.

    train_sources, sources: representations (N, L, d) and (R, L, d), one a source; train_truth (N, L, d).
    Returns (R, L, d).
    """
    steps = [np.concatenate(parts, axis=-1) for parts in (train_sources, sources)]
    model = RidgeCV(PENALTIES).fit(
        steps[0].reshape(-1, steps[0].shape[-1]), train_truth.reshape(-1, train_truth.shape[-1])
    )
    answered = model.predict(steps[1].reshape(-1, steps[1].shape[-1]))
    result: np.ndarray = answered.reshape(*steps[1].shape[:2], -1)
    return result


def recovery_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Mean of every measure over the utterances of a fold, then folds, then seeds, a row a (sources, missing).

    `measured` holds rows of `measure` with the columns fold and seed; `n` counts utterances.
    """
    keys = ["missing", "sources"]
    runs = measured.groupby([*keys, "fold", "seed"], sort=False)[list(MEASURES)].mean()
    table = runs.groupby([*keys, "seed"], sort=False).mean().groupby(keys, sort=False).mean()
    n = measured.groupby(keys, sort=False)["id"].nunique()
    return table.assign(n=n).reset_index()


def of_case(measured: pd.DataFrame, sources: str, missing: str) -> pd.DataFrame:
    """The rows of one modality recovered from others."""
    return measured[(measured["sources"] == sources) & (measured["missing"] == missing)]


CLAIM = ("s", "t"), ("t", "s")
"""(sources, missing): section 4.3 of the paper says that text is recovered better from speech than speech from text."""

DRAWN = ("t", "s", "v")
"""The panels of the figure, one a missing modality; its sources are the other two."""

HEADINGS = {
    "missing": "missing",
    "sources": "from",
    "n": "utterances",
    "mse": "MSE",
    "cosine": "cosine",
    "cosine_other": "cosine, others",
    "rank": "rank",
    "unexplained": "unexplained",
    "unexplained_ridge": "unexplained, ridge",
    "agreement": "same class",
}

MEASURED = (
    "MSE: over all entries, as in L_rec. cosine: of a recovered vector (mean over time) with its own truth, and "
    "with the truths of other utterances. rank: share of the other utterances' truths that lie nearer than its "
    "own; 0 is the best, 0.5 chance. unexplained: share of the truths' variance that is not explained, by the "
    "recovery and by ridge regression from the same modalities; answering their mean leaves 1. same class: share "
    "of the utterances that get the same class from the recovered modality as from the true one."
)


FORETOLD = "diagnostic/unexplained/"
"""Begins the names under which a method that knows it notes, beside its scores, how much will be left unexplained."""

TOLD = (
    "unexplained, foretold: what the model says by itself before any truth is seen, of the variance within the classes "
    "(mean over the trainings)."
)


def foretold(curves: pd.DataFrame) -> dict[tuple[str, str], float]:
    """(sources, missing) -> the share that is left unexplained, as the models of all trainings say; often nothing."""
    own = curves[curves["name"].str.startswith(FORETOLD)]
    last = own.sort_values("epoch").groupby(["name", "fold", "seed"])["value"].last()
    found = {}
    for name, share in last.groupby("name").mean().items():
        sources, _, missing = str(name).removeprefix(FORETOLD).partition("-")
        found[sources, missing] = float(share)
    return found


def embed(vectors: np.ndarray, metric: str = "euclidean") -> np.ndarray:
    """t-SNE, (R, d) -> (R, 2); the same points whatever the number of threads. metric: of the distances."""
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    drawn = TSNE(perplexity=perplexity, init="pca", random_state=0, method="exact", metric=metric)
    with threadpool_limits(1):  # sums in another order would move every point
        points: np.ndarray = drawn.fit_transform(vectors.astype(np.float64))
    return points


def sentences(rows: pd.DataFrame) -> list[str]:
    """What the numbers say: against ridge regression, and about the paper's claim."""
    lines = []
    table = recovery_table(rows)
    better = int((table["unexplained"] < table["unexplained_ridge"]).sum())
    lines.append(f"Explains more of the truth than ridge regression in {better} of {len(table)} cases.")
    one, other = (of_case(rows, *case) for case in CLAIM)
    for measure, what in (("unexplained", "unexplained variance"), ("rank", "rank")):
        found = paired_difference(one, other, measure, ["fold", "seed", "id"])
        if found is None:
            continue
        lo, hi = found["lo"], found["hi"]
        if hi < 0:
            verdict = "text is recovered better from speech, as the paper says"
        elif lo > 0:
            verdict = "speech is recovered better from text, against the paper"
        else:
            verdict = "no difference shown"
        lines.append(
            f"Text from speech minus speech from text, {what}: {found['difference']:+.3f} [{lo:+.3f}, {hi:+.3f}]: "
            f"{verdict}."
        )
    return lines


def recovery_figure(points: pd.DataFrame, *, title: str, changes: Mapping[str, str] | None = None) -> Figure:
    """A row a method, a panel a missing modality; columns name, missing, kind ('recovered', 'true'), id, x, y.

    `changes` tells in the caption what a variant changes.
    """
    names = list(dict.fromkeys(points["name"]))
    missing = [m for m in DRAWN if m in set(points["missing"])]
    with style():
        figure = Figure(figsize=(3.4 * len(missing) + 0.4, 3.2 * len(names) + 1.1), layout="constrained")
        grid = figure.subplots(len(names), len(missing), squeeze=False)
        for axes_row, name in zip(grid, names, strict=True):
            for axes, modality in zip(axes_row, missing, strict=True):
                part = points[(points["name"] == name) & (points["missing"] == modality)]
                _panel(axes, part, COLOURS[DRAWN.index(modality)])
                axes.set_title(f"{NAMES[modality]}, {name}", fontsize=10)
        lines = [title, "filled: true, open: recovered from the other two modalities; t-SNE, one test fold"]
        lines += [f"{name}: {changes[name]}" for name in names if changes and name in changes]
        figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=10)
    return figure


def _panel(axes: Axes, part: pd.DataFrame, colour: str) -> None:
    true, recovered = (part[part["kind"] == kind] for kind in ("true", "recovered"))
    joined = true.merge(recovered, on="id", suffixes=("", "_r"))
    axes.plot(
        joined[["x", "x_r"]].to_numpy().T,
        joined[["y", "y_r"]].to_numpy().T,
        color=FAINT,
        linewidth=0.4,
        alpha=0.35,
    )
    axes.scatter(true["x"], true["y"], s=13, color=colour, linewidth=0, zorder=2)
    axes.scatter(
        recovered["x"], recovered["y"], s=15, facecolor="white", edgecolor=colour, linewidth=0.9, zorder=3
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


TITLE = "What is recovered (Figure 5)"
HOW = (
    "No recovery has been measured here: name methods under `recovery` in params.yaml (`-S 'recovery=[cmarr]'`); "
    "`make ablations` does it."
)


def recovery_section(
    measured: Mapping[str, pd.DataFrame],
    points: pd.DataFrame | None,
    *,
    changes: Mapping[str, str],
    dataset: str,
    told_before: Mapping[str, Mapping[tuple[str, str], float]] | None = None,
) -> Section:
    """The section of Figure 5; `measured` by method or label, `points` of all of them with a column name.

    told_before: by method, see `foretold`.
    """
    if not measured or points is None:
        return Section("recovery", TITLE, missing=HOW)
    figure = recovery_figure(points, title=f"Recovered and true representations, {dataset}", changes=changes)
    blocks: list[Block] = [
        picture(
            "recovery",
            figure,
            caption="Figure 5. t-SNE of true (filled) and recovered (open) representations of one test fold; a line "
            "joins the two of an utterance.",
            alt=f"Recovered and true representations of {', '.join(measured)}; the numbers stand in the table below.",
        )
    ]
    files = slugs(measured)
    for name, rows in measured.items():
        told = f"{name} ({changes[name]})" if name in changes else name
        table = recovery_table(rows)
        shown = table[list(HEADINGS)].rename(columns=HEADINGS).astype({"utterances": int})
        notes = [MEASURED] if name == next(iter(measured)) else []
        if before := (told_before or {}).get(name):
            pairs = zip(table["sources"], table["missing"], strict=True)
            shown["unexplained, foretold"] = [before.get(pair, np.nan) for pair in pairs]
            notes.append(TOLD)
        blocks += [
            Table(
                f"recovery-{files[name]}",
                f"Recovered against true representations, {told}.",
                shown,
                notes,
                digits=3,
            ),
            Points(sentences(rows)),
        ]
    return Section("recovery", TITLE, (), blocks)


def measure_model(
    model: "Model", data: "FoldData", drawn: bool
) -> tuple[list[pd.DataFrame], pd.DataFrame | None]:
    """How near one model's recoveries of its test utterances come; where `drawn`, Figure 5's points."""
    from cmarr.methods.inference import recoveries

    train, test = (
        recoveries(model.method, model.normaliser, data.store(part))
        for part in (data.fold.train, data.fold.test)
    )
    ids = data.ids(data.fold.test)
    points = _points(test, ids) if drawn else []
    return _measured(train, test, ids, data), pd.concat(points, ignore_index=True) if points else None


def _measured(
    train: "Recoveries", test: "Recoveries", ids: Sequence[str], data: "FoldData"
) -> list[pd.DataFrame]:
    frames = []
    for (sources, missing), recovered in test.recovered.items():
        rows, known = test.rows(sources, missing), train.rows(sources, missing)
        if len(rows) < 2 or len(known) < 2:
            continue
        ridge = ridge_prediction(
            [train.truths[m][known] for m in sources],
            train.truths[missing][known],
            [test.truths[m][rows] for m in sources],
        )
        agrees = test.agrees(sources, missing, rows)
        pair = Pair(sources, missing, test.truths[missing][rows], recovered[rows], ridge, agrees)
        named = [ids[i] for i in rows]
        frames.append(measure(pair).assign(id=named, cluster=data.clusters(named)))
    return frames


def _points(test: "Recoveries", ids: Sequence[str]) -> list[pd.DataFrame]:
    """Figure 5's points: the true and the recovered vectors of the test utterances."""
    frames = []
    for (sources, missing), recovered in test.recovered.items():
        rows = test.rows(sources, missing)
        if len(sources) + 1 < len(test.truths) or missing not in DRAWN or len(rows) < 4:
            continue
        both = np.concatenate([recovered[rows].mean(1), test.truths[missing][rows].mean(1)])
        for kind, xy in zip(("recovered", "true"), embed(both).reshape(2, len(rows), 2), strict=True):
            frames.append(
                pd.DataFrame(
                    {
                        "missing": missing,
                        "kind": kind,
                        "id": [ids[i] for i in rows],
                        "x": xy[:, 0],
                        "y": xy[:, 1],
                    }
                )
            )
    return frames


def section(study: Study) -> Section:
    """What the models that were looked at gave."""
    measured, points = study.measured("recovery")
    before = {method: foretold(own) for method, own in study.curves.items()}
    made = recovery_section(
        measured, points, changes=study.changes, dataset=study.dataset, told_before=before
    )
    files: dict[str, pd.DataFrame | str] = {"recovery.md": made.markdown(study.dataset)}
    if measured:
        files["recovery.csv"] = pd.concat(
            [recovery_table(rows).assign(name=label) for label, rows in measured.items()]
        )
    return replace(made, files=files)


ANALYSIS = Analysis(
    section,
    model=measure_model,
    nothing="no two utterances have a modality and another one to recover it from",
)
