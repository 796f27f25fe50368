"""How well the classes part in representation space, condition by condition: silhouettes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import silhouette_samples

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.recovery import embed
from cmarr.analyses.study import Study
from cmarr.evaluation.resampling import mean_interval, paired_difference
from cmarr.modalities import CONDITIONS, visible
from cmarr.report.page import Block, Points, Section
from cmarr.report.picture import picture
from cmarr.report.style import COLOURS, MARKERS, style
from cmarr.report.table import Table

if TYPE_CHECKING:
    from cmarr.analyses.models import FoldData
    from cmarr.methods.model import Model


AVERAGE = "mean"
"""Row of the table that averages the conditions."""


def silhouettes(vectors: np.ndarray, labels: Sequence[str] | np.ndarray) -> np.ndarray:
    """(R,) silhouette of each of R vectors (R, d) by class, at cosine distances (Rousseeuw 1987).

    (b - a) / max(a, b) with a the mean distance to its own class and b that to the nearest other one: 1 in
    the midst of its class, 0 between two, below 0 nearer to another class. Empty where it is not defined:
    with fewer than two classes, or a class a vector.

    >>> near = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> silhouettes(near, ["calm", "calm", "tense", "tense"]).round(2).tolist()
    [0.99, 0.99, 0.99, 0.99]
    """
    classes = len(set(labels))
    if not 2 <= classes < len(labels):
        return np.empty(0)
    result: np.ndarray = silhouette_samples(vectors.astype(np.float64), list(labels), metric="cosine")
    return result


def silhouette_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Columns condition, silhouette, lo, hi, n: the mean over the utterances of a fold, folds, seeds.

    `measured` has the columns condition, fold, seed, id, cluster, silhouette. lo, hi: 95 % interval of the
    mean over all utterances, clusters resampled; n counts utterances. The last row averages the conditions.
    """
    rows = []
    present = [c for c in CONDITIONS if c in set(measured["condition"])]
    for condition in [*present, AVERAGE]:
        part = measured if condition == AVERAGE else measured[measured["condition"] == condition]
        runs = part.groupby(["condition", "fold", "seed"], sort=False)["silhouette"].mean()
        by_seed = runs.groupby(["condition", "seed"], sort=False).mean()
        mean = by_seed.groupby("condition", sort=False).mean().mean()
        lo, hi = mean_interval(part["silhouette"], part["cluster"])
        rows.append((condition, float(mean), lo, hi, part["id"].nunique()))
    return pd.DataFrame(rows, columns=["condition", "silhouette", "lo", "hi", "n"])


def silhouette_difference(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float] | None:
    """Mean silhouette of the first minus the second, see `paired_difference`, condition by condition."""
    return paired_difference(first, second, "silhouette", ["condition", "fold", "seed", "id"])


MEASURED = (
    "Silhouette by class at cosine distances, of the vector that the answer is read from: 1 in the midst of its class, "
    "0 between two, below 0 nearer to another. Mean over the utterances of a fold, then folds and seeds [95 % "
    "interval]; classes of scores are their signs. An utterance counts under a condition that it has all modalities of."
)


def silhouettes_frame(measured: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a method, one column a condition and one for their mean."""
    rows = []
    for name, found in measured.items():
        table = silhouette_table(found).set_index("condition")
        cells = {
            condition: f"{row['silhouette']:.3f} [{row['lo']:.2f}, {row['hi']:.2f}]"
            for condition, row in table.iterrows()
        }
        rows.append({"method": name} | cells)
    return pd.DataFrame(rows).fillna("-")


def sentences(measured: Mapping[str, pd.DataFrame]) -> list[str]:
    """The first method against each of the others, by the paired difference over all conditions."""
    first, *others = measured
    lines = []
    for other in others:
        found = silhouette_difference(measured[first], measured[other])
        if found is None:
            continue
        lo, hi = found["lo"], found["hi"]
        verdict = "no difference shown"
        if lo > 0 or hi < 0:
            verdict = f"{first if lo > 0 else other} parts the classes better"
        lines.append(f"{first} - {other}: {found['difference']:+.3f} [{lo:+.3f}, {hi:+.3f}]: {verdict}.")
    return lines


def clusters_figure(points: pd.DataFrame, *, title: str) -> Figure:
    """A row a method, a panel a condition, in the one map of that method; columns name, condition, label, x, y."""
    names = list(dict.fromkeys(points["name"]))
    conditions = [c for c in CONDITIONS if c in set(points["condition"])]
    labels = sorted(set(points["label"]))
    with style():
        figure = Figure(figsize=(1.9 * len(conditions) + 0.4, 2.1 * len(names) + 1.1), layout="constrained")
        grid = figure.subplots(len(names), len(conditions), squeeze=False, sharex="row", sharey="row")
        for axes_row, name in zip(grid, names, strict=True):
            for axes, condition in zip(axes_row, conditions, strict=True):
                part = points[(points["name"] == name) & (points["condition"] == condition)]
                for k, label in enumerate(labels):
                    own = part[part["label"] == label]
                    axes.scatter(
                        own["x"],
                        own["y"],
                        s=9,
                        color=COLOURS[k % len(COLOURS)],
                        marker=MARKERS[k % len(MARKERS)],
                        linewidth=0,
                        label=label,
                    )
                axes.set_title(f"{condition}, {name}", fontsize=8)
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
        handles, told = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, told, loc="outside lower center", ncols=len(labels))
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


TITLE = "Clusters of the classes"
HOW = (
    "No clusters have been measured here: name methods under `clusters` in params.yaml (`-S 'clusters=[mcur]'`); "
    "`make ablations` does it."
)


def clusters_section(
    measured: Mapping[str, pd.DataFrame],
    points: pd.DataFrame | None,
    *,
    dataset: str,
    changes: Mapping[str, str] | None = None,
) -> Section:
    """The section; `measured` by method or label, `points` of all of them with a column name.

    changes: label -> what that variant changes, in words.
    """
    if not measured or points is None:
        return Section("clusters", TITLE, missing=HOW)
    named = ", ".join(measured)
    blocks: list[Block] = [
        Table(
            "clusters",
            f"Silhouette by class within each condition, {named}.",
            silhouettes_frame(measured),
            [MEASURED, *(f"{label}: {changes[label]}" for label in measured if changes and label in changes)],
        ),
        picture(
            "clusters",
            clusters_figure(points, title=f"Representations by class and condition, {dataset}"),
            caption="t-SNE of the vectors that answers are read from, one test fold; the conditions of a row lie in "
            "one map, so that a class which keeps its place is represented alike whatever is missing.",
            alt=f"Representations of {named} under each condition; the silhouettes stand in the table above.",
        ),
    ]
    if lines := sentences(measured):
        blocks.insert(1, Points(lines))
    return Section("clusters", TITLE, (), blocks)


def measure_model(
    model: "Model", data: "FoldData", drawn: bool
) -> tuple[list[pd.DataFrame], pd.DataFrame | None]:
    """The silhouettes of one model's test utterances under each condition; where `drawn`, a map of some of them."""
    from cmarr.methods.inference import representations

    ids = np.array(data.ids(data.fold.test))
    store, clusters = data.store(data.fold.test), data.clusters(list(ids))
    labels = np.array(
        [_category(u.score if data.task.regression else u.label) for u in data.of(ids.tolist())]
    )
    present = store.available.cpu().numpy()
    met = {c: np.asarray(present[:, np.array(visible(c))].all(1)) for c in CONDITIONS}
    found = representations(model.method, model.normaliser, store)
    frames = []
    for condition, vectors in found.items():
        rows = met[condition]
        values = silhouettes(vectors[rows], labels[rows])
        if len(values):
            frame = pd.DataFrame({"id": ids[rows], "cluster": clusters[rows], "silhouette": values})
            frames.append(frame.assign(condition=condition))
    return frames, _points(found, met, ids, labels) if drawn else None


def _category(label: str | float | None) -> str:
    """The class; of a score its sign."""
    if isinstance(label, str):
        return label
    return "negative" if float(label or 0) < 0 else "positive" if float(label or 0) > 0 else "zero"


def _points(
    found: dict[str, np.ndarray], met: dict[str, np.ndarray], ids: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """A map of the first fold and seed, all conditions in one: every training has a space of its own."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(ids))[:MAPPED])
    rows = {c: chosen[met[c][chosen]] for c in found}
    everything = np.concatenate([found[c][own] for c, own in rows.items()])
    if len(everything) < 4:
        return pd.DataFrame(columns=["condition", "id", "label", "x", "y"])
    xy = embed(everything, "cosine")
    about = [(c, ids[i], labels[i]) for c, own in rows.items() for i in own]
    return pd.DataFrame(about, columns=["condition", "id", "label"]).assign(x=xy[:, 0], y=xy[:, 1])


MAPPED = 80
"""Utterances of the first fold that are drawn, at most; each stands in every condition that it can meet."""


def section(study: Study) -> Section:
    """What the models that were looked at gave."""
    measured, points = study.measured("clusters")
    made = clusters_section(measured, points, dataset=study.dataset, changes=study.changes)
    files: dict[str, pd.DataFrame | str] = {"clusters.md": made.markdown(study.dataset)}
    if measured:
        tables = [silhouette_table(rows).assign(name=label) for label, rows in measured.items()]
        files["clusters.csv"] = pd.concat(tables)
    return replace(made, files=files)


ANALYSIS = Analysis(
    section, model=measure_model, nothing="no test fold has two classes of which one has two utterances"
)
