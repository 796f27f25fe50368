"""The page: sections in, one HTML file out that needs nothing else, not even a network."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from cmarr.files import is_left_over, write_csv, write_json, write_text
from cmarr.folds.privileges import MARK, WORD
from cmarr.report.picture import VARIABLES, Picture
from cmarr.report.style import Look, save_figure
from cmarr.report.table import BOLD, Table
from cmarr.seals import LIST, write_list

_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`(.+?)`")
_MINOR = re.compile(r"(\[[-+0-9][-+0-9., ]*\]|± [0-9.]+(?:, [0-9.]+)?|\(no interval\))")

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
    safe = _red(escape(text))
    return Markup(_CODE.sub(r"<code>\1</code>", _STRONG.sub(r"<strong>\1</strong>", safe)))


def _red(safe: str) -> str:
    return str(safe).replace(MARK, f'<span class="privileged">{WORD}</span>')


def cell(text: str) -> Markup:
    """A cell of a table: **1.0** stands out, intervals and deviations step back."""
    safe = BOLD.sub(r"<strong>\1</strong>", _red(escape(text)))
    return Markup(_MINOR.sub(r'<span class="minor">\1</span>', safe))


def key(look: Look, variable: str) -> Markup:
    """The sample of a line in a legend: its colour (a variable of the style sheet), dashes and marker."""
    dashes = " ".join(f"{length:g}" for length in look.dashes) or "none"
    return Markup(
        '<svg class="key" viewBox="0 0 34 12" width="34" height="12" aria-hidden="true">'
        '<path d="M0 6H34" style="stroke:var(--{0});stroke-width:2;stroke-dasharray:{1};fill:none"/>'
        '<g style="fill:var(--{0});stroke:var(--paper);stroke-width:.7">{2}</g></svg>'
    ).format(variable, dashes, Markup(_SHAPES[look.marker]))


TEMPLATES = Path(__file__).parent / "templates"


Files: TypeAlias = Mapping[str, pd.DataFrame | str | Figure | Mapping[str, Any]]
"""Name of a file, its ending included, -> what stands in it."""


def write_files(folder: str | Path, files: Files) -> list[Path]:
    """Write each file as its content asks for; below `folder`, which need not exist. Returns their paths."""
    written = [Path(folder) / name for name in files]
    for path, content in zip(written, files.values(), strict=True):
        if isinstance(content, pd.DataFrame):
            write_csv(path, content)
        elif isinstance(content, str):
            write_text(path, content)
        elif isinstance(content, Figure):
            save_figure(path, content, dpi=100)
        else:
            write_json(path, content)
    return written


@dataclass(frozen=True)
class Points:
    """Sentences as a list; `heading` above them, `open` False folds them away."""

    lines: Sequence[str]
    heading: str = ""
    folded: bool = False
    kind: str = "points"

    def markdown(self) -> str:
        """Heading and list."""
        lines = "\n".join(f"- {line}" for line in self.lines)
        return f"### {self.heading}\n\n{lines}\n" if self.heading else f"{lines}\n"


@dataclass(frozen=True)
class Strip:
    """One utterance of the contact sheet: a JPEG of its faces, and what stands beside it."""

    image: bytes
    width: int
    height: int
    label: str
    alt: str

    @property
    def address(self) -> str:
        """The image as a data URL; empty where there is none."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.image).decode()}" if self.image else ""


@dataclass(frozen=True)
class Strips:
    """The contact sheet."""

    caption: str
    strips: Sequence[Strip]
    kind: str = "strips"

    def markdown(self) -> str:
        """The caption: the faces stand on the page."""
        return f"{self.caption}\n"


@dataclass(frozen=True)
class Folded:
    """Blocks under a heading that a reader may close."""

    heading: str
    blocks: Sequence["Table | Picture | Points"]
    open: bool = True
    kind: str = "folded"

    def markdown(self) -> str:
        """The blocks under their heading."""
        return "\n".join([f"### {self.heading}\n", *(block.markdown() for block in self.blocks)])


Block = Table | Picture | Points | Strips | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page.

    id:      the anchor. title: the heading.
    lead:    paragraphs before everything else
    blocks:  tables, pictures and lists, in order
    missing: where there is no data: one sentence that says how to get it
    files:   what lies beside the page: name of a file -> its content
    """

    id: str
    title: str
    lead: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    missing: str = ""
    files: Files = field(default_factory=dict)

    def markdown(self, dataset: str) -> str:
        """The section as a page of its own; its figures by their captions and files."""
        parts = [
            f"## {dataset}: {self.title}\n",
            *(f"{line}\n" for line in (*self.lead, self.missing) if line),
        ]
        return "\n".join([*parts, *(block.markdown() for block in self.blocks)])


@dataclass(frozen=True)
class Page:
    """Everything the page says.

    facts:   short pairs (number, what it counts) under the title
    command: what made it
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = ()
    foot: Sequence[str] = field(default_factory=list)

    def blocks(self) -> Iterator[Block]:
        """Every block of every section, those of folds included."""
        for section in self.sections:
            for block in section.blocks:
                yield block
                yield from block.blocks if isinstance(block, Folded) else ()

    @property
    def tables(self) -> list[Table]:
        """Every table, in order."""
        return [block for block in self.blocks() if isinstance(block, Table)]

    @property
    def pictures(self) -> list[Picture]:
        """Every figure, in order."""
        return [block for block in self.blocks() if isinstance(block, Picture)]


def render(page: Page) -> str:
    """The HTML of a page. Names, labels and reasons of a corpus are escaped: they are other people's words."""
    sheet, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": prose, "cell": cell}
    environment.globals |= {"key": lambda look: key(look, VARIABLES[look.colour.lower()])}
    template = environment.get_template("page.html.jinja")
    # The page may run its own few lines and load nothing: what a label smuggles in stays text.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template.render(page=page, sheet=sheet, script=script, digest=digest)


def write_page(folder: str | Path, page: Page) -> None:
    """Write `folder`/index.html, tables/<name>.csv, .md, .tex, figures/<name>.svg and the files of each section.

    plots/01-<name>.svg and so on are the figures in the order of the page, for whoever shows a folder. A list names all
    files with their digests.
    """
    folder = Path(folder)
    for table in page.tables:
        table.write(folder / "tables")
    for number, picture in enumerate(page.pictures, start=1):
        picture.write(folder / "figures")
        picture.write(folder / "plots", number)
    for section in page.sections:
        write_files(folder, section.files)
    write_text(folder / "index.html", render(page))
    made = (path for path in folder.rglob("*") if path.is_file() and not is_left_over(path))
    write_list(folder / LIST, [path for path in made if path.name != LIST])
