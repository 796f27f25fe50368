"""A data frame as a Markdown table or as plain text for a terminal."""

from collections.abc import Sequence

import pandas as pd

NOTHING = "-"
"""What stands where there is no number."""


def text(value: object, digits: int = 2) -> str:
    """A cell: '-' for None and NaN, floats with `digits` decimals, integers with thin groups of three."""
    if value is None or (isinstance(value, float) and value != value):
        return NOTHING
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def markdown_table(frame: pd.DataFrame, digits: int = 2) -> str:
    """A Markdown table; columns that hold a digit to the right, padded so that its source reads well, too."""
    header, rows = _texts(frame, digits)
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]
    left = _left(lines[1:], len(widths))
    rule = " | ".join("-" * w if i in left else "-" * (w - 1) + ":" for i, w in enumerate(widths))
    drawn = ["| " + " | ".join(_aligned(line, widths, left)) + " |" for line in lines]
    return "\n".join([drawn[0], f"| {rule} |", *drawn[1:]]) + "\n"


def plain_table(frame: pd.DataFrame, digits: int = 2) -> str:
    """The same for a terminal: two spaces between columns, a rule under the header."""
    header, rows = _texts(frame, digits)
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    left = _left(rows, len(widths))
    drawn = ["  ".join(_aligned(line, widths, left)).rstrip() for line in lines]
    return "\n".join([drawn[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *drawn[1:]]) + "\n"


def _texts(frame: pd.DataFrame, digits: int) -> tuple[list[str], list[list[str]]]:
    columns = [frame[name].tolist() for name in frame.columns]
    return [str(c) for c in frame.columns], [
        [text(v, digits) for v in row] for row in zip(*columns, strict=True)
    ]


def _left(rows: Sequence[Sequence[str]], columns: int) -> set[int]:
    """Columns set to the left: the first, and those of words."""
    return {i for i in range(columns) if i == 0 or not any(c.isdigit() for row in rows for c in row[i])}


def _aligned(line: Sequence[str], widths: Sequence[int], left: set[int]) -> list[str]:
    return [
        c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
    ]
