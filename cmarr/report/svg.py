"""A matplotlib figure as SVG that can stand in a page among others: themed, without foreign names, small."""

import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from cmarr.report.glyphs import fit_fonts, without_glyph_warnings
from cmarr.report.style import COLOURS, FAINT, GRID, INK, PAPER, style

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper", COLOURS[-1]: "ink"} | {
    colour.lower(): f"c{i}" for i, colour in enumerate(COLOURS[:-1])
}
"""Colour of a figure -> the variable of the page's style sheet that says what it is in the theme that is shown."""

_COLOURS = re.compile("|".join(VARIABLES), re.IGNORECASE)
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font-family:[^;]*;?")
_SPACE = re.compile(r"\s+")


def svg_bytes(figure: Figure) -> bytes:
    """The figure as an SVG file; equal figures give equal bytes."""
    written = io.BytesIO()
    fit_fonts(figure)
    with style(), without_glyph_warnings():
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def inline_svg(drawn: bytes, name: str) -> str:
    """A figure for a page: `svg_bytes` with the page's colours and font, and every id beginning with `name`.

    Colours that are not those of `cmarr.report.style` (a heat map's) stay what they are in every theme.
    """
    for prefix, address in (("", SVG), ("xlink", XLINK)):
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.fromstring(drawn)
    for child in root.findall(f"{{{SVG}}}metadata"):
        root.remove(child)
    for definitions in root.findall(
        f"{{{SVG}}}defs"
    ):  # matplotlib's style sheet would hold for the whole page
        for sheet in definitions.findall(f"{{{SVG}}}style"):
            definitions.remove(sheet)
    used = {found for element in root.iter() for found in _references(element)}
    for element in root.iter():
        _renamed(element, used, name)
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
        if "d" in element.attrib:
            element.set("d", _SPACE.sub(" ", element.attrib["d"]).strip())
        if element.tag != f"{{{SVG}}}text" and not (element.text or "").strip():
            element.text = None
        element.tail = None
    for unused in ("version", "width", "height"):  # the page decides, the view box keeps the shape
        root.attrib.pop(unused, None)
    root.set("aria-hidden", "true")
    return ElementTree.tostring(root, encoding="unicode")


def _references(element: ElementTree.Element) -> list[str]:
    found = [name for value in element.attrib.values() for name in _REFERENCE.findall(value)]
    target = element.get(f"{{{XLINK}}}href", "")
    return [*found, target[1:]] if target.startswith("#") else found


def _renamed(element: ElementTree.Element, used: set[str], name: str) -> None:
    for key, value in list(element.attrib.items()):
        if key == "id":
            if value in used:
                element.set("id", f"{name}-{value}")
            else:
                del element.attrib["id"]
        elif key == f"{{{XLINK}}}href" and value.startswith("#"):
            del element.attrib[key]
            element.set("href", f"#{name}-{value[1:]}")
        elif "url(#" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))


def _themed(declarations: str) -> str:
    themed = _COLOURS.sub(lambda found: f"var(--{VARIABLES[found[0].lower()]})", declarations)
    return _FONT.sub("", themed).strip()
