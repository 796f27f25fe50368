"""How every figure looks, whatever the script of its labels, and how equal figures are written as equal bytes."""

import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

from cmarr.files import write_bytes

log = logging.getLogger(__name__)

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette: told apart by people with any kind of colour vision. Yellow is too light on white."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
"""Beside the colours, so that a figure survives a black-and-white print."""
DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (9, 3), (3, 3), (6, 2, 1.5, 2, 1.5, 2))
"""Of lines: on and off, points; the first is solid."""
INK, FAINT, GRID, PAPER = "#1f2328", "#656d76", "#e6e8eb", "#ffffff"
FONT = "DejaVu Sans"
"""The font of all figures; it comes with matplotlib."""

_SETTINGS: dict[Any, Any] = {
    "font.size": 10,
    "font.family": FONT,
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
    "svg.fonttype": "none",  # text stays text: a tenth of the bytes, found by a search, read by a screen reader
    "text.parse_math": False,  # a class named $x$ is no formula
}


@dataclass(frozen=True)
class Look:
    """How one method is drawn, the same in every figure of a report."""

    colour: str
    marker: str
    dashes: tuple[float, ...]

    def line(self, axes: Axes, x: Any, y: Any, **options: Any) -> None:
        """A line with its markers."""
        dashes = self.dashes or (None, None)
        axes.plot(x, y, color=self.colour, marker=self.marker, dashes=dashes, **options)

    def bar(self, axes: Axes, x: float, lo: float, hi: float) -> None:
        """The interval of a dot."""
        axes.plot([x, x], [lo, hi], color=self.colour, linewidth=1.8, alpha=0.55, solid_capstyle="butt")

    def dots(self, axes: Axes, x: Any, y: Any, **options: Any) -> None:
        """Markers without a line."""
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.7}
        axes.plot(x, y, self.marker, color=self.colour, markersize=6.5, **edge, **options)


KNOWN = (
    *("cmarr", "masked", "linear", "late", "gaussian", "recovered", "anchored"),
    *("gbdt", "mmin", "if_mmin", "cif_mmin", "cra", "mcur", "dicmor", "primd", "cmad"),
    *("momke", "cyin", "imder", "gcnet"),
)
"""Methods with a look of their own, whatever they are drawn with; the first seven have a colour of their own, and mcur
shares one with none of those that it is usually drawn with."""


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Name -> its look: of a method in `KNOWN` always the same one, of any other name the first that is free.

    No two of 63 are alike.

    >>> looks(["gaussian", "cmarr"])["cmarr"] == looks(["cmarr"])["cmarr"]
    True
    """
    names = list(names)
    taken = {KNOWN.index(name) for name in names if name in KNOWN}
    free = (place for place in count() if place not in taken)
    places = {name: KNOWN.index(name) if name in KNOWN else next(free) for name in names}
    return {
        name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for name, i in places.items()
    }


@contextmanager
def style() -> Iterator[None]:
    """Draw, and save, with the settings of this module."""
    with mpl.rc_context(_SETTINGS):
        yield


def save_figure(path: str | Path, figure: Figure, dpi: int = 160) -> None:
    """Write a figure atomically; the ending of `path` (.png or .svg) chooses the format."""
    kind = Path(path).suffix.removeprefix(".")
    lacking = fit_fonts(figure)
    if lacking and kind != "svg":
        log.warning(
            f"{path}: no font of this machine has {' '.join(lacking)}, so boxes stand there; install one that has "
            "(Noto, say). Pages and SVG files show it all the same"
        )
    write_bytes(path, drawn(figure, kind, dpi=dpi))


def horizontal_grid(axes: Axes) -> None:
    """Faint lines at the values, none at the categories."""
    axes.grid(axis="y", linewidth=0.8)
    axes.tick_params(axis="both", length=0)


def small_axes(
    width: float = 3.0, height: float = 2.2, *, left: float = 0.5, bottom: float = 0.42, right: float = 0.1
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, sizes and margins in inches, for a panel among others.

    No layout engine: a page holds dozens of panels, and measuring every text of each takes most of the time.
    """
    figure = Figure(figsize=(width, height))
    top = 0.1
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    return figure, axes


def fit_fonts(figure: Figure) -> str:
    """Give every text a font of this machine for the letters that `FONT` lacks; the letters that no font has."""
    lacking: set[str] = set()
    for text in figure.findobj(Text):
        missing = {c for c in text.get_text() if not c.isspace() and ord(c) not in _letters(findfont(FONT))}
        if missing:
            families, without = _families(frozenset(missing))
            text.set_fontfamily([FONT, *families])
            lacking |= without
    return "".join(sorted(lacking))


def drawn(figure: Figure, kind: str, **options: Any) -> bytes:
    """A figure as a file of its format, svg or png; equal figures give equal bytes."""
    written = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with style(), without_glyph_warnings():
        figure.savefig(written, format=kind, metadata=metadata, **options)
    return written.getvalue()


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Matplotlib warns of every single letter, also where the text stays text and the reader's font shows it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        yield


@cache
def _families(missing: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Fonts of this machine that have the letters together, and the letters that none has."""
    chosen, left = [], missing
    for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        found = (
            {c for c in left if ord(c) in _letters(font.fname)} if "Last Resort" not in font.name else set()
        )
        if found:
            chosen.append(font.name)
            left -= found
    return chosen, left


@cache
def _letters(file: str) -> frozenset[int]:
    return frozenset(get_font(file).get_charmap())
