"""Words as HTML: everything from a corpus is escaped first, and only then set."""

import re

from markupsafe import Markup, escape

from cmarr.report.markdown import BOLD
from cmarr.report.style import Look

_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`(.+?)`")
_MINOR = re.compile(r"(\[[-+0-9][-+0-9., ]*\]|± [0-9.]+|\(no interval\))")

_SHAPES = {
    "o": '<circle cx="17" cy="6" r="3.6"/>',
    "s": '<rect x="13.6" y="2.6" width="6.8" height="6.8"/>',
    "D": '<path d="M17 1.4 21.6 6 17 10.6 12.4 6z"/>',
    "^": '<path d="M17 1.8 21 9.4H13z"/>',
    "v": '<path d="M17 10.2 13 2.6h8z"/>',
    "P": '<path d="M15.5 2h3v2.5H21v3h-2.5V10h-3V7.5H13v-3h2.5z"/>',
    "X": '<path d="m14.8 2 2.2 2.2L19.2 2 21 3.8 18.8 6 21 8.2 19.2 10 17 7.8 14.8 10 13 8.2 15.2 6 13 3.8z"/>',
    "<": '<path d="M12.8 6 20.4 2v8z"/>',
    ">": '<path d="M21.2 6 13.6 10V2z"/>',
}
"""Matplotlib's markers, on a field of 34 x 12."""


def prose(text: str) -> Markup:
    """A sentence; **words** stand out, `keys` are set as code."""
    safe = str(escape(text))
    return Markup(_CODE.sub(r"<code>\1</code>", _STRONG.sub(r"<strong>\1</strong>", safe)))


def cell(text: str) -> Markup:
    """A cell of a table: **1.0** stands out, intervals and deviations step back."""
    safe = BOLD.sub(r"<strong>\1</strong>", str(escape(text)))
    return Markup(_MINOR.sub(r'<span class="minor">\1</span>', safe))


def key(look: Look, variable: str) -> Markup:
    """The sample of a line in a legend: its colour (a variable of the style sheet), dashes and marker."""
    dashes = " ".join(f"{length:g}" for length in look.dashes) or "none"
    return Markup(
        '<svg class="key" viewBox="0 0 34 12" width="34" height="12" aria-hidden="true">'
        '<path d="M0 6H34" style="stroke:var(--{0});stroke-width:2;stroke-dasharray:{1};fill:none"/>'
        '<g style="fill:var(--{0});stroke:var(--paper);stroke-width:.7">{2}</g></svg>'
    ).format(variable, dashes, Markup(_SHAPES[look.marker]))
