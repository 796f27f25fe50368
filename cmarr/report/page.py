"""The page: sections in, one HTML file out that needs nothing else, not even a network."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cmarr.files import write_text
from cmarr.report.html import cell, key, prose
from cmarr.report.picture import Picture
from cmarr.report.svg import VARIABLES
from cmarr.report.table import Table

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Points:
    """Sentences as a list; `heading` above them, `open` False folds them away."""

    lines: Sequence[str]
    heading: str = ""
    folded: bool = False
    kind: str = "points"


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


@dataclass(frozen=True)
class Folded:
    """Blocks under a heading that a reader may close."""

    heading: str
    blocks: Sequence["Table | Picture | Points"]
    open: bool = True
    kind: str = "folded"


Block = Table | Picture | Points | Strips | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page.

    id:      the anchor. title: the heading.
    lead:    paragraphs before everything else
    blocks:  tables, pictures and lists, in order
    missing: where there is no data: one sentence that says how to get it
    """

    id: str
    title: str
    lead: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    missing: str = ""


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
    """Write `folder`/index.html, tables/<name>.csv, .md, .tex and figures/<name>.svg."""
    folder = Path(folder)
    for table in page.tables:
        table.write(folder / "tables")
    for picture in page.pictures:
        picture.write(folder / "figures")
    write_text(folder / "index.html", render(page))
