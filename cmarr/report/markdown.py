"""A data frame as a Markdown table or as plain text for a terminal."""

import re
from collections.abc import Sequence

import pandas as pd

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


def plain_table(frame: pd.DataFrame, digits: int = 2) -> str:
    """The same for a terminal: two spaces between columns, a rule under the header."""
    header, rows = texts(frame, digits)
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
    """Columns set to the left: the first, and those in which no cell begins like a number."""
    return {i for i in range(columns) if i == 0 or not any(_NUMBER.match(row[i]) for row in rows)}


def _aligned(line: Sequence[str], widths: Sequence[int], left: set[int]) -> list[str]:
    return [
        c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
    ]
