"""How every figure looks, and how it is written so that equal figures give equal bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmarr.files import atomic

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette: told apart by people with any kind of colour vision. Yellow is too light on white."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""Beside the colours, so that a figure survives a black-and-white print."""
INK, FAINT, GRID = "#1f2328", "#656d76", "#e6e8eb"

_SETTINGS: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "grid.color": GRID,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "legend.frameon": False,
    "svg.hashsalt": "cmarr",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw, and save, with the settings of this module."""
    with mpl.rc_context(_SETTINGS):
        yield


def save_figure(path: str | Path, figure: Figure, dpi: int = 160) -> None:
    """Write a figure atomically; the ending of `path` (.png or .svg) chooses the format."""
    kind = Path(path).suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with style(), atomic(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata)


def horizontal_grid(axes: Axes) -> None:
    """Faint lines at the values, none at the categories."""
    axes.grid(axis="y", linewidth=0.8)
    axes.tick_params(axis="both", length=0)
