"""A figure of the report: what is drawn, what it shows in words, and its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from cmarr.files import atomic
from cmarr.report.style import Look, save_figure
from cmarr.report.svg import inline_svg, svg_bytes


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

    def write(self, folder: str | Path) -> None:
        """Write every panel as `folder`/<name>.svg."""
        for name, drawn in self.files.items():
            with atomic(Path(folder) / name) as temporary:
                temporary.write_bytes(drawn)
        if self.png:
            for panel in self.panels:
                save_figure(Path(folder) / f"{panel.name}.png", panel.figure)


def picture(name: str, figure: Figure, *, caption: str, alt: str, png: bool = False) -> Picture:
    """A picture of a single drawing."""
    return Picture(name, caption, alt, [Panel(name, figure)], png=png)
