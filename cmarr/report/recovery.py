"""The paper's Figure 5 and the numbers behind it: recovered beside true representations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from cmarr.evaluation.recovery import paired_difference, recovery_table
from cmarr.modalities import NAMES
from cmarr.report.markdown import markdown_table
from cmarr.report.style import COLOURS, FAINT, style

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


def embed(recovered: np.ndarray, truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE of recovered and true vectors together: (R, d) twice -> (2, R, 2), the recovered first.

    The same points whatever the number of threads.
    """
    both = np.concatenate([recovered, truth]).astype(np.float64)
    perplexity = min(30.0, (len(both) - 1) / 3)
    with threadpool_limits(1):  # sums in another order would move every point
        points = TSNE(perplexity=perplexity, init="pca", random_state=seed, method="exact").fit_transform(
            both
        )
    return points.reshape(2, len(truth), 2)


def recovery_markdown(
    measured: Mapping[str, pd.DataFrame], *, dataset: str, changes: Mapping[str, str] | None = None
) -> str:
    """The section of the report.

    measured: method or label of a variant -> rows of `cmarr.evaluation.recovery.measure`
    changes:  label -> what that variant changes, in words
    """
    title = f"## {dataset}: recovered against true representations (Figure 5)"
    if not measured:
        return f"{title}\n\nNo recovery has been measured: name methods under `recovery` in params.yaml.\n"
    parts = [title]
    for name, rows in measured.items():
        lines = "\n".join(f"- {line}" for line in sentences(rows))
        heading = f"### {name}" + (f" ({changes[name]})" if changes and name in changes else "")
        parts += [heading, markdown_table(numbers_frame(rows), digits=3).rstrip(), lines]
    parts.append(MEASURED)
    return "\n\n".join(parts) + "\n"


def numbers_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a missing modality and its sources, with the measures under the names that a person reads."""
    table = recovery_table(rows)[list(HEADINGS)].rename(columns=HEADINGS)
    table["utterances"] = table["utterances"].astype(int)
    return table


def sentences(rows: pd.DataFrame) -> list[str]:
    """What the numbers say: against ridge regression, and about the paper's claim."""
    lines = []
    table = recovery_table(rows)
    better = int((table["unexplained"] < table["unexplained_ridge"]).sum())
    lines.append(f"Explains more of the truth than ridge regression in {better} of {len(table)} cases.")
    for measure, what in (("unexplained", "unexplained variance"), ("rank", "rank")):
        found = paired_difference(rows, *CLAIM, measure)
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
