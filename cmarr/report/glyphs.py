"""Labels in scripts that the figures' own font does not have: class names in Chinese, say."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

OWN = "DejaVu Sans"
"""The font of all figures; it comes with matplotlib."""


def fit_fonts(figure: Figure) -> str:
    """Give every text a font of this machine for the letters that `OWN` lacks; the letters that no font has."""
    lacking: set[str] = set()
    for text in figure.findobj(Text):
        missing = {c for c in text.get_text() if not c.isspace() and ord(c) not in _letters(findfont(OWN))}
        if missing:
            families, without = _families(frozenset(missing))
            text.set_fontfamily([OWN, *families])
            lacking |= without
    return "".join(sorted(lacking))


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
