"""FER+ in its official layout: FER2013Train, FER2013Valid and FER2013Test, zipped or as folders.

Each holds one PNG a face and `label.csv` without a header: file, box, and the votes for ten columns.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from cmarr.errors import UserError
from cmarr.ferplus.faces import FER_SIDE, FaceSet
from cmarr.ferplus.votes import COLUMNS

NAMES = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
"""Part -> zip file or folder."""

Bytes = Callable[[str], bytes]
"""Name of a file inside -> its content; raises KeyError where there is none."""


def find(root: Path, part: str) -> Path | None:
    """The zip file or folder of a part, if it is there."""
    name = NAMES[part]
    for path in (root / f"{name}.zip", root / name):
        if path.is_file() or (path / "label.csv").is_file():
            return path
    return None


def read_archive(path: Path) -> FaceSet:
    """Every face that the labels of a zip file or folder name, in their order.

    Raises UserError, with file and line: an archive that is damaged or has no label.csv, a row that is broken or
    names a face twice, an image that is missing, damaged, not gray or not 48 x 48.
    """
    if path.is_dir():
        return _read(path, lambda name: _file(path / name))
    try:
        with zipfile.ZipFile(path) as archive:
            inside = _members(path, archive)
            return _read(path, lambda name: archive.read(inside[name]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be unpacked ({error}); fetch it again") from None


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Name beside label.csv -> full name in the archive, whatever folder label.csv lies in."""
    tables = [name for name in archive.namelist() if PurePosixPath(name).name == "label.csv"]
    if len(tables) != 1:
        raise UserError(
            f"{path}: holds {len(tables)} files named label.csv instead of one; make it anew from one folder with "
            "label.csv and the images"
        )
    folder = PurePosixPath(tables[0]).parent
    return {
        PurePosixPath(name).name: name for name in archive.namelist() if PurePosixPath(name).parent == folder
    }


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError:  # it is there
        raise
    except (OSError, ValueError):  # no such file, or no name of a file
        raise KeyError(path.name) from None


def _read(path: Path, content: Bytes) -> FaceSet:
    try:
        text = content("label.csv").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: label.csv is not text in UTF-8; fetch the archive again") from None
    names, votes, images = [], [], []
    seen: set[str] = set()
    for where, row in _cells(path, text):
        name, counts = _row(row, where)
        if name in seen:
            raise UserError(f"{where}: {name} was labelled already; remove one of the two lines")
        seen.add(name)
        names.append(name)
        votes.append(counts)
        images.append(_image(name, content, where))
    if not names:
        raise UserError(f"{path}: label.csv is empty; fetch the archive again")
    return FaceSet(tuple(names), np.stack(images), np.array(votes, np.int16))


def _cells(path: Path, text: str) -> Iterator[tuple[str, list[str]]]:
    """File and line of every row that is not blank, and its cells; lines end as any system ends them."""
    reader = csv.reader(io.StringIO(text, newline=None))
    try:
        for row in reader:
            if row:
                yield f"{path}: label.csv, line {reader.line_num}", row
    except csv.Error as error:
        raise UserError(
            f"{path}: label.csv, line {reader.line_num}: is no row of a table ({error})"
        ) from None


def _row(row: Sequence[str], where: str) -> tuple[str, list[int]]:
    if len(row) != 2 + len(COLUMNS):
        raise UserError(f"{where}: {len(row)} cells instead of 12 (file, box, {', '.join(COLUMNS)})")
    name, box, *cells = (cell.strip() for cell in row)
    if box.replace(" ", "") != f"(0,0,{FER_SIDE},{FER_SIDE})":
        raise UserError(f"{where}: the box {box!r} is not the whole image, (0, 0, {FER_SIDE}, {FER_SIDE})")
    return name, counts(cells, where)


def counts(cells: Sequence[str], where: str) -> list[int]:
    """The ten cells of votes as whole numbers; raises UserError for anything else."""
    if not all(cell.isascii() and cell.isdecimal() and len(cell) < 4 for cell in cells):
        raise UserError(f"{where}: votes must be whole numbers, not {', '.join(map(repr, cells))}")
    return [int(cell) for cell in cells]


def _image(name: str, content: Bytes, where: str) -> np.ndarray:
    try:
        packed = content(name)
    except KeyError:
        raise UserError(f"{where}: the image {name!r} is missing; fetch the archive again") from None
    try:
        image = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED) if packed else None
    except cv2.error:  # more pixels than OpenCV takes
        image = None
    if image is None:
        raise UserError(f"{where}: {name} is no image, or a damaged one; fetch the archive again")
    if image.ndim != 2 or image.dtype != np.uint8:
        raise UserError(f"{where}: {name} is not an 8-bit gray image; FER2013's faces are")
    if image.shape != (FER_SIDE, FER_SIDE):
        raise UserError(
            f"{where}: {name} has {image.shape[1]} x {image.shape[0]} pixels instead of {FER_SIDE} x {FER_SIDE}"
        )
    return image
