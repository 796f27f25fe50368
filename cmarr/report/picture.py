"""A figure of the report: what is drawn, what it shows in words, its files, and its SVG in a page of others."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from matplotlib.figure import Figure

from cmarr.files import write_bytes
from cmarr.report.style import (
    COLOURS,
    FAINT,
    GRID,
    INK,
    PAPER,
    Look,
    drawn,
    fit_fonts,
    save_figure,
)

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper", COLOURS[-1]: "ink"} | {
    colour.lower(): f"c{i}" for i, colour in enumerate(COLOURS[:-1])
}
"""Colour of a figure -> the variable of the page's style sheet that says what it is in the theme that is shown."""

_COLOURS = re.compile("|".join(VARIABLES), re.IGNORECASE)
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font-family:[^;]*;?")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Panel:
    """One drawing; several of them stand side by side where there is room, one below the other on a phone."""

    name: str
    figure: Figure
    heading: str = ""


@dataclass(frozen=True)
class Picture:
    """One or several drawings that belong together.

    name:    of its files; letters, digits, '-'
    caption: what is drawn and how to read it
    alt:     what a person who cannot see it should know
    legend:  name -> look, where the drawings have none of their own
    png:     also as PNG, for slides and the README
    """

    name: str
    caption: str
    alt: str
    panels: Sequence[Panel]
    legend: Mapping[str, Look] = field(default_factory=dict)
    png: bool = False
    kind: str = "picture"
    drawn: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def files(self) -> dict[str, bytes]:
        """File name -> SVG, one a panel; drawn once."""
        if not self.drawn:
            self.drawn.update({f"{panel.name}.svg": svg_bytes(panel.figure) for panel in self.panels})
        return self.drawn

    @property
    def shown(self) -> list[tuple[str, int, str]]:
        """(heading, width in CSS pixels, SVG for a page), one a panel."""
        return [
            (p.heading, round(96 * p.figure.get_figwidth()), inline_svg(self.files[f"{p.name}.svg"], p.name))
            for p in self.panels
        ]

    def markdown(self) -> str:
        """The caption, and where the drawings lie."""
        return f"{self.caption} ({', '.join(f'`figures/{panel.name}.svg`' for panel in self.panels)})\n"

    def write(self, folder: str | Path, number: int | None = None) -> None:
        """Write every panel as `folder`/<name>.svg, or, with a number, as `folder`/<number>-<name>.svg."""
        before = "" if number is None else f"{number:02}-"
        for name, content in self.files.items():
            write_bytes(Path(folder) / f"{before}{name}", content)
        if self.png and number is None:
            for panel in self.panels:
                save_figure(Path(folder) / f"{panel.name}.png", panel.figure)


def picture(name: str, figure: Figure, *, caption: str, alt: str, png: bool = False) -> Picture:
    """A picture of a single drawing."""
    return Picture(name, caption, alt, [Panel(name, figure)], png=png)


def svg_bytes(figure: Figure) -> bytes:
    """The figure as an SVG file; equal figures give equal bytes."""
    fit_fonts(figure)
    return drawn(figure, "svg")


def inline_svg(svg: bytes, name: str) -> str:
    """A figure for a page: `svg_bytes` with the page's colours and font, and every id beginning with `name`.

    Colours that are not those of `cmarr.report.style` (a heat map's) stay what they are in every theme.
    """
    for prefix, address in (("", SVG), ("xlink", XLINK)):
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.fromstring(svg)
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
