"""FER+ as two tables: Kaggle's fer2013.csv (pixels) and Microsoft's fer2013new.csv (votes), row by row."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import numpy as np

from cmarr.errors import UserError
from cmarr.ferplus.archives import counts
from cmarr.ferplus.faces import FER_SIDE, FaceSet
from cmarr.ferplus.votes import COLUMNS

PIXELS, VOTES = "fer2013.csv", "fer2013new.csv"

USAGES = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
"""What the column Usage says -> part."""


def found(root: Path) -> bool:
    """Whether both tables are there."""
    return (root / PIXELS).is_file() and (root / VOTES).is_file()


def read_tables(root: Path, part: str) -> FaceSet:
    """The faces of one part, in the order of the tables; rows without an image name were dropped by FER+.

    Raises UserError, with file and line: a column that is missing, tables of different length or order, pixels that
    are not 48 x 48 numbers from 0 to 255, votes that are not whole numbers.
    """
    names, votes, images = [], [], []
    with (
        _rows(root / PIXELS, ("pixels", "Usage")) as pixels,
        _rows(root / VOTES, ("Usage", "Image name", *COLUMNS)) as new,
    ):
        for number, (face, row) in enumerate(zip_longest(pixels, new), 2):
            where = f"{root / VOTES}, line {number}"
            if face is None or row is None:
                raise UserError(f"{where}: {PIXELS} and {VOTES} do not have the same number of rows")
            if row["Usage"] != face["Usage"] or row["Usage"] not in USAGES:
                raise UserError(
                    f"{where}: Usage is {row['Usage']!r}, but {face['Usage']!r} in {PIXELS}; it must be one of "
                    f"{', '.join(USAGES)} and the same in both: these are rows of one face"
                )
            if USAGES[row["Usage"]] == part and row["Image name"]:
                names.append(row["Image name"])
                votes.append(counts([row[column] or "" for column in COLUMNS], where))
                images.append(_image(face["pixels"], f"{root / PIXELS}, line {number}"))
    if not names:
        raise UserError(f"{root}: {VOTES} names no face of the part {part}")
    return FaceSet(tuple(names), np.stack(images), np.array(votes, np.int16))


@contextmanager
def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[Iterator[dict[str, str]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        reader = csv.DictReader(opened)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            there = ", ".join(map(repr, reader.fieldnames or ())) or "none"
            raise UserError(f"{path}: the column {missing[0]!r} is missing; its first line names {there}")
        yield iter(reader)


def _image(cell: str | None, where: str) -> np.ndarray:
    words, pixels = (cell or "").split(), FER_SIDE**2
    try:
        values = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError):
        values = None
    if values is None or len(values) != pixels or values.min() < 0 or values.max() > 255:
        found = "others" if len(words) == pixels else f"{len(words)}"
        raise UserError(
            f"{where}: pixels must be {pixels} whole numbers from 0 to 255, not {found}; fetch {PIXELS} again"
        )
    return values.astype(np.uint8).reshape(FER_SIDE, FER_SIDE)
