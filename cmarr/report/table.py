"""One table, and every form it is written in: CSV, Markdown, LaTeX, and the rows that the page shows."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

import pandas as pd

from cmarr.files import write_text
from cmarr.report.latex import latex_table
from cmarr.report.markdown import BOLD, left_columns, markdown_table, texts


def slug(name: str) -> str:
    """A name as part of a file's: lower case, letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Name -> its slug; of names that have the same one, the later ones get a number."""
    found: dict[str, str] = {}
    for name in names:
        plain, taken = slug(name), set(found.values())
        numbered = (f"{plain}-{number}" for number in count(2))
        found[name] = plain if plain not in taken else next(n for n in numbered if n not in taken)
    return found


@dataclass(frozen=True)
class Table:
    """A table as a person reads it.

    name:    of its files; letters, digits, '-'
    caption: a full sentence or two, what stands in it
    frame:   ready to print; strings, or numbers that get `digits` decimals; **1.0** is a number in bold
    notes:   sentences under it
    """

    name: str
    caption: str
    frame: pd.DataFrame
    notes: Sequence[str] = ()
    digits: int = 2
    kind: str = "table"

    @cached_property
    def header(self) -> list[str]:
        """The names of the columns."""
        return texts(self.frame, self.digits)[0]

    @cached_property
    def rows(self) -> list[list[str]]:
        """The cells, as text."""
        return texts(self.frame, self.digits)[1]

    @cached_property
    def left(self) -> set[int]:
        """The columns that are set to the left: the first, and those of words."""
        return left_columns(self.rows, len(self.header))

    def markdown(self) -> str:
        """Caption, table and notes."""
        parts = [f"**{self.caption}**", markdown_table(self.frame, self.digits).rstrip()]
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """The printed cells, comma separated."""
        rows = [[BOLD.sub(r"\1", cell) for cell in row] for row in self.rows]
        return pd.DataFrame(rows, columns=self.header).to_csv(index=False, lineterminator="\n")

    def latex(self) -> str:
        """A float with booktabs rules; every character of the corpus escaped."""
        return latex_table(self.header, self.rows, self.left, caption=self.caption, label=f"tab:{self.name}")

    def write(self, folder: str | Path) -> None:
        """Write `folder`/<name>.csv, .md and .tex."""
        for ending, content in (("csv", self.csv()), ("md", self.markdown()), ("tex", self.latex())):
            write_text(Path(folder) / f"{self.name}.{ending}", content)
