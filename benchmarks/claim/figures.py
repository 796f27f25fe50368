"""The pictures of the field, drawn of results/claim/: score against cost, and what more utterances change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.claim.plan import CONFIRMING, FIELD_CLAIMS, METHODS
from benchmarks.claim.table import RESULTS, difference, in_short, minus, part, score
from cmarr.files import digest, read_json
from cmarr.report.style import Look, horizontal_grid, looks, style
from cmarr.report.table import markdown_table

TITLES = {"240": "240 utterances", "1440": "1,440 utterances", "5000": "5,000 utterances", "mosi": "CMU-MOSI"}
FIRST = {size: corpora[0].name for size, corpora in CONFIRMING.items() if len(corpora) > 1}
TITLES |= {name: f"{TITLES[size]}, one corpus" for size, name in FIRST.items()}
AGAINST = "linear"
"""What the curves are drawn against: one model a condition, nothing recovered."""
CURVES = (
    "gaussian",
    "recovered",
    "anchored",
    "anchored_masked",
    "anchored_sequence",
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
    """Size, or the first corpus of one -> what was kept of it, in the order of the protocol; only what was run."""
    names = [name for size in CONFIRMING for name in (size, FIRST.get(size)) if name]
    return {name: read_json(folder / f"{name}.json") for name in names if (folder / f"{name}.json").is_file()}


def cost_figure(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel a size: each method's mean over the six incomplete conditions against what one training costs."""
    look = looks(dict.fromkeys(m for content in found.values() for m in content["methods"]))
    with style():
        columns = min(len(found), 2)
        rows = -(-len(found) // columns)
        drawn = Figure(figsize=(1.6 + 4.4 * columns, 0.3 + 4.2 * rows), layout="constrained")
        panels = drawn.subplots(rows, columns, squeeze=False).flat
        for (size, content), axes in zip(found.items(), panels, strict=False):  # takes no panel too many
            horizontal_grid(axes)
            for method, own in content["methods"].items():
                _point(axes, own, _scale(content), look[method], method)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.set_title(f"{TITLES[size]}\n{in_short(content)}", fontsize=9)
            axes.set_xlabel("core-seconds of one training")
            _name_score(axes, content)
        for axes in panels:  # one more than there are sizes
            axes.set_axis_off()
        shown = dict[str, Artist]()
        for axes in drawn.axes:
            shown |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        names = [m for m in METHODS if m in shown] + [m for m in shown if m not in METHODS]
        drawn.legend([shown[m] for m in names], names, loc="outside right center", fontsize=8)
    return drawn


def _point(axes: Axes, own: Mapping[str, Any], scale: int, look: Look, method: str) -> None:
    """One method of a panel, and its interval, where it has one."""
    if own["avg6"] is None:
        return
    lo, hi = own["intervals"]["avg6"]
    at, colour = own["core_seconds"], look.colour
    if lo is not None:
        axes.vlines(at, scale * lo, scale * hi, color=colour, alpha=0.3)
    axes.plot(at, scale * own["avg6"], look.marker, color=colour, markersize=6, label=method)


def curve_figure(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Each method minus `AGAINST` by training utterances of the generated corpora: where it begins to pay.

    A method that two sizes have is drawn over those that have it.
    """
    sizes = _generated(found)
    methods = _joined(sizes)
    look = looks(dict.fromkeys(m for content in found.values() for m in content["methods"]))
    with style():
        drawn = Figure(figsize=(8.2, 4.6), layout="constrained")
        axes = drawn.subplots()
        horizontal_grid(axes)
        axes.axhline(0, color="black", linewidth=0.8)
        for k, method in enumerate(methods):
            points = [
                (content, cell)
                for content in sizes
                if (cell := minus(content, method, AGAINST, "avg6")) and cell["lo"] is not None
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
            row[_headed(size, content)] = difference(cell, content["metric"] == "UAR") if cell else "not run"
        rows.append(row)
    return f"{markdown_table(pd.DataFrame(rows)).rstrip()}\n\n{_survived(found)}"


def _survived(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A line a size: how many printed orders came again, and what its numbers are of."""
    lines = []
    for size, content in found.items():
        cells = [minus(content, ahead, behind, "avg6") for ahead, behind, _ in FIELD_CLAIMS]
        told = [cell["shown"] for cell in cells if cell]
        counts = {
            "came again": told.count(1),
            "came turned round": told.count(-1),
            "not shown": told.count(0),
        }
        counts |= {"not run": len(cells) - len(told)}
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        lines.append(f"- {TITLES[size]}: of {len(cells)} printed orders {said}. {part(content)}.")
    return "\n".join(lines)


def field_costs(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a method of the plan: its score beside what one training takes, a pair of columns a size."""
    if not found:
        return "*Not run yet: `python -m benchmarks.claim run`.*"
    others = {m: None for content in found.values() for m in content["methods"] if m not in METHODS}
    rows = []
    for method in [
        m for m in (*METHODS, *others) if any(m in content["methods"] for content in found.values())
    ]:
        row = {"method": method}
        for size, content in found.items():
            own = content["methods"].get(method)
            row[_headed(size, content)] = score(own["avg6"], content["metric"] == "UAR") if own else "not run"
            row[f"{TITLES[size]}, core-s"] = f"{own['core_seconds']:.1f}" if own else ""
        rows.append(row)
    said = [f"- {TITLES[size]}, trained on {c['trained_on']:,}: {part(c)}." for size, c in found.items()]
    return f"{markdown_table(pd.DataFrame(rows)).rstrip()}\n\n" + "\n".join(said)


def _headed(size: str, content: Mapping[str, Any]) -> str:
    """Of a column of scores, or their differences."""
    return f"{TITLES[size]}, {'UAR in %' if content['metric'] == 'UAR' else content['metric'] + ', less is better'}"


def _joined(sizes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The methods of `CURVES` that two sizes have beside `AGAINST`."""
    return [m for m in CURVES if sum(bool(minus(own, m, AGAINST, "avg6")) for own in sizes) > 1]


def _scale(content: Mapping[str, Any]) -> int:
    return 100 if content["metric"] == "UAR" else 1


def _name_score(axes: Axes, content: Mapping[str, Any]) -> None:
    if content["metric"] == "MAE":
        axes.invert_yaxis()
        axes.set_ylabel("MAE, mean of six conditions (up is better)")
    else:
        axes.set_ylabel(f"{content['metric']}, mean of six conditions, %")


def _generated(found: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The sizes of one generator, which a curve may join: all corpora that were reached, or the first."""
    kept = [found.get(size) or found.get(first) for size, first in FIRST.items()]
    return [content for content in kept if content]


def digest_of(found: Mapping[str, Any]) -> str:
    """Of what a picture is drawn of."""
    return digest(found)[:16]


def _costs_in_words(found: Mapping[str, Mapping[str, Any]]) -> str:
    best = {size: _best(content) for size, content in found.items()}
    told = "; ".join(
        f"{TITLES[size]} ({len(found[size]['methods'])} methods): best is {name}"
        for size, name in best.items()
    )
    return f"Score of each method, mean of the six incomplete conditions, against the cost of one training. {told}"


def _best(content: Mapping[str, Any]) -> str:
    choose = min if content["metric"] == "MAE" else max
    known = {name: own["avg6"] for name, own in content["methods"].items() if own["avg6"] is not None}
    return str(choose(known, key=lambda name: known[name]))


def _curves_in_words(found: Mapping[str, Mapping[str, Any]]) -> str:
    sizes = _generated(found)
    drawn = [m for m in CURVES if m in _joined(sizes)]
    told = "; ".join(f"{own['trained_on']:,} ({in_short(own)})" for own in sizes)
    return (
        f"UAR of {', '.join(drawn)} minus {AGAINST}, mean of the six incomplete conditions, by utterances that were "
        f"trained on: {told}"
    )


@dataclass(frozen=True)
class Drawn:
    """A picture of a page: how it is drawn, what it shows in words, whether enough was kept for it."""

    draw: Callable[[Mapping[str, Mapping[str, Any]]], Figure]
    alt: Callable[[Mapping[str, Mapping[str, Any]]], str]
    ready: Callable[[Mapping[str, Mapping[str, Any]]], bool] = bool


FIGURES = {
    "field": Drawn(cost_figure, _costs_in_words),
    "curves": Drawn(curve_figure, _curves_in_words, lambda found: len(_generated(found)) > 1),
}
"""Name -> the picture; docs/<name>.png."""
