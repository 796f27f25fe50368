"""The contact sheet: faces as the video encoder sees them, a few of each utterance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cmarr.media.faces_file import SeenFaces
from cmarr.report.style import FAINT, INK, style

COLUMNS = 4
PATCH, GAP, LABEL = 64, 2, 20
"""Sides of a face and of the gap between two, height of the line above them, pixels."""
EMPTY = 235
"""Gray of a place without a face."""


def contact_sheet(seen: Sequence[SeenFaces], *, title: str) -> Figure:
    """A figure with one strip an utterance: speaker, class and id above, up to five of its faces below.

    A place without a face is empty; an utterance without any says why.
    """
    slots = max((len(one.patches) for one in seen), default=1) or 1
    width, height = slots * (PATCH + GAP) + 5 * GAP, PATCH + LABEL
    columns = min(COLUMNS, max(len(seen), 1))
    rows = max(-(-len(seen) // columns), 1)
    canvas = np.full((rows * height, columns * width), 255, np.uint8)
    with style():
        figure = Figure(figsize=(columns * width / 100, rows * height / 100 + 0.4))
        axes = figure.add_axes((0.0, 0.0, 1.0, rows * height / (rows * height + 40)))
        axes.set_axis_off()
        for place, one in enumerate(seen):
            top, left = place // columns * height, place % columns * width
            _strip(canvas[top + LABEL : top + height, left : left + width], one, slots)
            axes.text(left + GAP, top + LABEL - 5, _label(one), fontsize=6, color=INK)
            if not len(one.patches):
                axes.text(left + 2 * GAP, top + LABEL + PATCH / 2, _reason(one), fontsize=6, color=FAINT)
        axes.imshow(canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        figure.suptitle(
            title, x=0.005, y=0.995, ha="left", va="top", fontsize=9, fontweight="bold", color=INK
        )
    return figure


def describe_faces(seen: Sequence[SeenFaces]) -> str:
    """How often there is a face: 'a face in 38 of 40 utterances, in 87 % of their frames'."""
    having = [one for one in seen if len(one.patches)]
    looked, found = sum(one.looked for one in having), sum(one.found for one in having)
    share = f", in {100 * found / looked:.0f} % of their frames" if looked else ""
    return f"a face in {len(having)} of {len(seen)} utterances{share}"


def _strip(canvas: np.ndarray, one: SeenFaces, slots: int) -> None:
    for slot in range(slots):
        left = slot * (PATCH + GAP) + GAP
        filled = one.patches[slot] if slot < len(one.patches) else EMPTY
        canvas[:PATCH, left : left + PATCH] = filled


def _label(one: SeenFaces) -> str:
    parts = [one.speaker, one.label, one.id, f"{one.found}/{one.looked}" if one.looked else None]
    text = "  ".join(part for part in parts if part)
    return text if len(text) <= 62 else f"{text[:61]}…"


def _reason(one: SeenFaces) -> str:
    reason = one.reason or "no face found"
    return reason if len(reason) <= 68 else f"{reason[:67]}…"
