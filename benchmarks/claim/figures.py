"""The pictures of the field, drawn of results/claim/: score against cost, and what more utterances change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.claim.plan import CONFIRMING, FIELD_CLAIMS
from benchmarks.claim.table import RESULTS, difference, minus
from cmarr.files import digest, read_json
from cmarr.report.style import horizontal_grid, looks, style
from cmarr.report.table import markdown_table

TITLES = {"240": "240 utterances", "1440": "1,440 utterances", "5000": "5,000 utterances", "mosi": "CMU-MOSI"}
AGAINST = "linear"
"""What the curves are drawn against: one model a condition, nothing recovered."""
CURVES = (
    "gaussian",
    "recovered",
    "anchored",
    "anchored_masked",
    "masked",
    "cmarr",
    "gbdt",
    "mcur",
    "dicmor",
    "momke",
    "gcnet",
)
"""The methods of the curves: ours, the plain ones, and a rival of each family."""


def reached(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Size -> what was kept of it, in the order of the protocol; only those that were run."""
    return {
        size: read_json(folder / f"{size}.json") for size in CONFIRMING if (folder / f"{size}.json").is_file()
    }


def cost_figure(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel a size: each method's mean over the six incomplete conditions against what one training costs."""
    look = looks(dict.fromkeys(m for content in found.values() for m in content["methods"]))
    with style():
        drawn = Figure(figsize=(1.6 + 4.2 * len(found), 4.6), layout="constrained")
        for axes, (size, content) in zip(
            drawn.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
        ):
            horizontal_grid(axes)
            scale = _scale(content)
            for method, own in content["methods"].items():
                lo, hi = own["intervals"]["avg6"]
                axes.vlines(own["core_seconds"], scale * lo, scale * hi, color=look[method].colour, alpha=0.3)
                axes.plot(
                    own["core_seconds"],
                    scale * own["avg6"],
                    look[method].marker,
                    color=look[method].colour,
                    markersize=6,
                    label=method,
                )
            axes.set_xscale("log")
            axes.set_title(f"{TITLES[size]}: trained on {content['trained_on']:,}")
            axes.set_xlabel("core-seconds of one training")
            _name_score(axes, content)
        handles, labels = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside right center", fontsize=8)
    return drawn


def curve_figure(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Each method minus `AGAINST` by training utterances of the generated corpora: where it begins to pay."""
    sizes = _generated(found)
    methods = [m for m in CURVES if all(m in content["methods"] for content in sizes)]
    look = looks(dict.fromkeys(m for content in found.values() for m in content["methods"]))
    with style():
        drawn = Figure(figsize=(8.2, 4.6), layout="constrained")
        axes = drawn.subplots()
        horizontal_grid(axes)
        axes.axhline(0, color="black", linewidth=0.8)
        for k, method in enumerate(methods):
            points = [
                (content, cell) for content in sizes if (cell := minus(content, method, AGAINST, "avg6"))
            ]
            x = [content["trained_on"] * 1.02 ** (k - (len(methods) - 1) / 2) for content, _ in points]
            own = look[method]
            axes.vlines(
                x,
                [100 * c["lo"] for _, c in points],
                [100 * c["hi"] for _, c in points],
                color=own.colour,
                alpha=0.35,
            )
            y = [100 * cell["difference"] for _, cell in points]
            axes.plot(
                x,
                y,
                color=own.colour,
                marker=own.marker,
                dashes=own.dashes or (None, None),
                markersize=5,
                label=method,
            )
        axes.set_xscale("log")
        ticks = [content["trained_on"] for content in sizes]
        axes.set_xticks(ticks, [f"{t:,}" for t in ticks])
        axes.minorticks_off()
        axes.set_xlabel("training utterances")
        axes.set_ylabel(f"UAR minus {AGAINST}, points")
        drawn.legend(loc="outside right center", fontsize=8)
    return drawn


def field_claims(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What was printed to be ahead of what, and the same difference here: a row a claim, a column a size."""
    rows = []
    for ahead, behind, where in FIELD_CLAIMS:
        row = {"printed": f"{ahead} ahead of {behind}", "where": where}
        for size, content in found.items():
            cell = minus(content, ahead, behind, "avg6")
            row[f"{TITLES[size]}, {content['metric']}"] = (
                difference(cell, content["metric"] == "UAR") if cell else ""
            )
        rows.append(row)
    return markdown_table(pd.DataFrame(rows))


def _scale(content: Mapping[str, Any]) -> int:
    return 100 if content["metric"] == "UAR" else 1


def _name_score(axes: Axes, content: Mapping[str, Any]) -> None:
    if content["metric"] == "MAE":
        axes.invert_yaxis()
        axes.set_ylabel("MAE, mean of six conditions (up is better)")
    else:
        axes.set_ylabel(f"{content['metric']}, mean of six conditions, %")


def _generated(found: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The sizes of one generator, which a curve may join."""
    return [content for size, content in found.items() if size != "mosi"]


def digest_of(found: Mapping[str, Any]) -> str:
    """Of what a picture is drawn of."""
    return digest(found)[:16]


def _costs_in_words(found: Mapping[str, Mapping[str, Any]]) -> str:
    best = {size: _best(content) for size, content in found.items()}
    told = "; ".join(f"{TITLES[size]}: best is {name}" for size, name in best.items())
    return f"Score of each method, mean of the six incomplete conditions, against the cost of one training. {told}"


def _best(content: Mapping[str, Any]) -> str:
    choose = min if content["metric"] == "MAE" else max
    return str(choose(content["methods"], key=lambda name: content["methods"][name]["avg6"]))


def _curves_in_words(found: Mapping[str, Mapping[str, Any]]) -> str:
    sizes = ", ".join(f"{content['trained_on']:,}" for content in _generated(found))
    return f"UAR of each method minus {AGAINST}, mean of the six incomplete conditions, trained on {sizes} utterances"


@dataclass(frozen=True)
class Drawn:
    """A picture of a page: how it is drawn, what it shows in words, how many sizes it needs."""

    draw: Callable[[Mapping[str, Mapping[str, Any]]], Figure]
    alt: Callable[[Mapping[str, Mapping[str, Any]]], str]
    needs: int = 1


FIGURES = {"field": Drawn(cost_figure, _costs_in_words), "curves": Drawn(curve_figure, _curves_in_words, 2)}
"""Name -> the picture; docs/<name>.png."""
