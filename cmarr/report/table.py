"""One table, and every form it is written in: CSV, Markdown, LaTeX, and the rows that the page shows."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

import pandas as pd

from cmarr.files import write_text
from cmarr.folds.privileges import MARK, WORD

NOTHING = "-"
"""What stands where there is no number."""

BOLD = re.compile(r"\*\*([-+]?[0-9][0-9.]*)\*\*")
"""A number that stands out. Only numbers: a label that holds stars is a label."""

_NUMBER = re.compile(r"(\*\*)?[-+\[]?\d")


def text(value: object, digits: int = 2) -> str:
    """A cell: '-' for None and NaN, floats with `digits` decimals, integers with thin groups of three."""
    if value is None or (isinstance(value, float) and value != value):
        return NOTHING
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split())


def markdown_table(frame: pd.DataFrame, digits: int = 2) -> str:
    """A Markdown table; columns of numbers to the right, padded so that its source reads well, too."""
    header, rows = texts(frame, digits)
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]
    left = left_columns(lines[1:], len(widths))
    rule = " | ".join("-" * w if i in left else "-" * (w - 1) + ":" for i, w in enumerate(widths))
    drawn = ["| " + " | ".join(_aligned(line, widths, left)) + " |" for line in lines]
    return "\n".join([drawn[0], f"| {rule} |", *drawn[1:]]) + "\n"


def plain_table(frame: pd.DataFrame) -> str:
    """The same for a terminal: two spaces between columns, a rule under the header."""
    header, rows = texts(frame)
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    left = left_columns(rows, len(widths))
    drawn = ["  ".join(_aligned(line, widths, left)).rstrip() for line in lines]
    return "\n".join([drawn[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *drawn[1:]]) + "\n"


def texts(frame: pd.DataFrame, digits: int = 2) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a frame as the text of their cells."""
    columns = [frame.iloc[:, i].tolist() for i in range(frame.shape[1])]
    return [str(c) for c in frame.columns], [
        [text(v, digits) for v in row] for row in zip(*columns, strict=True)
    ]


def left_columns(rows: Sequence[Sequence[str]], columns: int) -> set[int]:
    """Columns set to the left: the first, and those in which cells say something and none begins like a number."""
    cells = [[row[i] for row in rows if row[i].strip("-")] for i in range(columns)]
    return {i for i, own in enumerate(cells) if i == 0 or (own and not any(map(_NUMBER.match, own)))}


def _aligned(line: Sequence[str], widths: Sequence[int], left: set[int]) -> list[str]:
    return [
        c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
    ]


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "…": r"\dots{}",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "\n": " ",
    MARK: rf"\textcolor{{red}}{{{WORD}}}",
}
_SPECIALS = re.compile("|".join(map(re.escape, _SPECIAL)))


def latex_text(text: str) -> str:
    """Plain text as LaTeX shows it; a number in two stars becomes bold."""
    return BOLD.sub(r"\\textbf{\1}", _SPECIALS.sub(lambda found: _SPECIAL[found[0]], text))


def latex_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int], *, caption: str, label: str
) -> str:
    """A table float; `left` are the columns set to the left, the others are set to the right."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(latex_text, cells)) + r" \\"

    red = any(MARK in cell for cells in rows for cell in cells)
    columns = "".join("l" if i in left else "r" for i in range(len(header)))
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,xcolor}" if red else r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(header),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def slug(name: str) -> str:
    """A name as part of a file's: lower case, letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Name -> its slug; of names that have the same one, the later ones get a number.

    >>> slugs(["w/o udcl", "w o udcl"])
    {'w/o udcl': 'w-o-udcl', 'w o udcl': 'w-o-udcl-2'}
    """
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
        return str(pd.DataFrame(rows, columns=self.header).to_csv(index=False, lineterminator="\n"))

    def latex(self) -> str:
        """A float with booktabs rules; every character of the corpus escaped."""
        return latex_table(self.header, self.rows, self.left, caption=self.caption, label=f"tab:{self.name}")

    def write(self, folder: str | Path) -> None:
        """Write `folder`/<name>.csv, .md and .tex."""
        for ending, content in (("csv", self.csv()), ("md", self.markdown()), ("tex", self.latex())):
            write_text(Path(folder) / f"{self.name}.{ending}", content)
