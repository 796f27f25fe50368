"""Cluster quality: silhouettes by class within each condition, and where the conditions lie."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from cmarr.evaluation.clusters import silhouette_difference, silhouette_table
from cmarr.modalities import CONDITIONS
from cmarr.report.markdown import markdown_table
from cmarr.report.style import COLOURS, MARKERS, style

MEASURED = (
    "Silhouette by class at cosine distances, of the vector that the answer is read from: 1 in the midst of its class, "
    "0 between two, below 0 nearer to another. Mean over the utterances of a fold, then folds and seeds [95 % "
    "interval]; classes of scores are their signs. An utterance counts under a condition that it has all modalities of."
)


def place(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE at cosine distances, (R, d) -> (R, 2); the same points whatever the number of threads."""
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    with threadpool_limits(1):  # sums in another order would move every point
        drawn = TSNE(
            perplexity=perplexity, init="pca", random_state=seed, method="exact", metric="cosine"
        ).fit_transform(vectors.astype(np.float64))
    return drawn


def clusters_markdown(
    measured: Mapping[str, pd.DataFrame], *, dataset: str, changes: Mapping[str, str] | None = None
) -> str:
    """The section of the report; `measured` by method or label, `changes`: label -> what it changes."""
    title = f"## {dataset}: clusters of the classes in representation space"
    if not measured:
        return f"{title}\n\nNo clusters have been measured: name methods under `clusters` in params.yaml.\n"
    parts = [title, markdown_table(silhouettes_frame(measured)).rstrip()]
    if lines := sentences(measured):
        parts.append("\n".join(f"- {line}" for line in lines))
    told = [f"- {label}: {changes[label]}" for label in measured if changes and label in changes]
    parts += ["\n".join(told)] if told else []
    return "\n\n".join([*parts, MEASURED]) + "\n"


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
