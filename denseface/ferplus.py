"""FER+: faces of 48 x 48 pixels and the votes of ten people on each, read in either of its layouts, and what they mean.

The official one: FER2013Train, FER2013Valid and FER2013Test, zipped or as folders, each with one PNG a face and
`label.csv` without a header (file, box, and the votes for ten columns). Or two tables, row by row: Kaggle's
fer2013.csv (pixels) and Microsoft's fer2013new.csv (votes).
"""

import csv
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cmarr.budgets import read_content, reason
from cmarr.encoders.face_network import EMOTIONS
from cmarr.errors import UserError

Votes = NDArray[np.int16]
"""(N, 10), a column of `COLUMNS` each."""

COLUMNS = (*EMOTIONS, "unknown", "NF")
"""The columns of FER+'s tables; NF counts the votes that this is not a face."""


def is_face(votes: Votes) -> NDArray[np.bool_]:
    """Votes (N, 10) -> (N,) bool: nobody said that it is no face, and somebody saw an emotion."""
    real: NDArray[np.bool_] = (votes[:, -1] == 0) & (votes[:, : len(EMOTIONS)].sum(1) > 0)
    return real


def distribution(votes: Votes) -> NDArray[np.float32]:
    """Votes (N, 10) of faces -> shares (N, 8) of the emotions, rows summing to one; 'unknown' is no emotion."""
    emotions = votes[:, : len(EMOTIONS)].astype(np.float32)
    shares: NDArray[np.float32] = emotions / emotions.sum(1, keepdims=True)
    return shares


def label(votes: Votes) -> NDArray[np.intp]:
    """Votes (N, 10) -> (N,) the emotion with most votes, the first column on ties."""
    most: NDArray[np.intp] = votes[:, : len(EMOTIONS)].argmax(1)
    return most


def is_tied(votes: Votes) -> NDArray[np.bool_]:
    """Votes (N, 10) -> (N,) bool: several emotions share the most votes."""
    emotions = votes[:, : len(EMOTIONS)]
    tied: NDArray[np.bool_] = (emotions == emotions.max(1, keepdims=True)).sum(1) > 1
    return tied


def has_majority(votes: Votes) -> NDArray[np.bool_]:
    """Votes (N, 10) -> (N,) bool: the faces that Barsoum et al. (2016) score in their majority mode.

    Lone votes are dropped as outliers; of what is left, more than half must be for one emotion ('unknown' and 'no
    face' compete, too).
    """
    kept = np.where(votes > 1, votes, 0)
    most = kept.max(1)
    clear: NDArray[np.bool_] = (most > 0.5 * kept.sum(1)) & (kept.argmax(1) < len(EMOTIONS))
    return clear


FER_SIDE = 48
"""Height and width of a face of FER2013, pixels."""


@dataclass(frozen=True)
class FaceSet:
    """Faces decoded once: `names` (N), `images` (N, 48, 48) uint8 gray, `votes` (N, 10) of `COLUMNS`."""

    names: tuple[str, ...]
    images: NDArray[np.uint8]
    votes: Votes

    def __len__(self) -> int:
        return len(self.names)

    def only(self, chosen: np.ndarray) -> "FaceSet":
        """The faces that a mask (N,) or an array of indices names."""
        rows = np.arange(len(self))[chosen]
        return FaceSet(tuple(self.names[row] for row in rows), self.images[rows], self.votes[rows])

    def real(self) -> "FaceSet":
        """Without what somebody took for no face; raises UserError where nothing is left."""
        chosen = is_face(self.votes)
        if not chosen.any():
            raise UserError(
                f"root: of {len(self)} faces, from {self.names[0]} on, none has votes for an emotion and none "
                "for 'no face' (NF); fetch FER+ again"
            )
        return self.only(chosen)


def read_part(root: str | Path, part: str) -> FaceSet:
    """The faces of 'train', 'valid' or 'test', those with 'not a face' votes included.

    `root` holds FER2013Train, FER2013Valid and FER2013Test as zip files or folders, or fer2013.csv and
    fer2013new.csv. Raises UserError for a folder that holds neither, and for anything broken in it.
    """
    root = Path(root)
    if not root.is_dir():
        wrong = "is no folder" if root.exists() else "does not exist"
        raise UserError(f"root: {root} {wrong}; set it to the folder in which FER+ lies")
    path = _archive(root, part)
    if path:
        return _read_archive(path)
    if _has_tables(root):
        return _read_tables(root, part)
    raise UserError(
        f"root: {root} holds neither {ARCHIVES[part]}.zip (or a folder of that name with label.csv and "
        f"the images in it) nor {PIXELS} with {VOTES}"
    )


ARCHIVES = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
"""Part -> zip file or folder."""

Bytes = Callable[[str], bytes]
"""Name of a file inside -> its content; raises KeyError where there is none."""


def _archive(root: Path, part: str) -> Path | None:
    """The zip file or folder of a part, if it is there."""
    name = ARCHIVES[part]
    for path in (root / f"{name}.zip", root / name):
        if path.is_file() or (path / "label.csv").is_file():
            return path
    return None


def _read_archive(path: Path) -> FaceSet:
    """Every face that the labels of a zip file or folder name, in their order.

    Raises UserError, with file and line: an archive that is damaged or has no label.csv, a row that is broken or
    names a face twice, an image that is missing, damaged, not gray or not 48 x 48.
    """
    if path.is_dir():
        return _read(path, lambda name: _file(path / name))
    try:
        with zipfile.ZipFile(path) as archive:
            inside = _members(path, archive)
            return _read(path, lambda name: archive.read(_small(path, archive.getinfo(inside[name]))))
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(f"{path}: cannot be unpacked ({reason(error)}); fetch it again") from None


_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError, OSError,
    ValueError,
)  # fmt: skip
"""What a damaged archive raises."""

LARGEST = 16 * 2**20
"""Bytes of a file in an archive: label.csv has two million of them, a face three thousand."""


def _small(path: Path, member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """A member, if it is none that fills the memory."""
    if member.file_size > LARGEST or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            f"{path}: {member.filename} unpacks to {member.file_size:,} bytes, or is packed in an unusual way, as no "
            "file of FER+ is; fetch the archive again"
        )
    return member


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
    if not os.path.exists(path):  # noqa: PTH110 - no such file, or no name of a file
        raise KeyError(path.name)
    return read_content(path, LARGEST, "a file of FER+")


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
        images.append(_decoded(name, content, where))
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
    return name, _counts(cells, where)


def _counts(cells: Sequence[str], where: str) -> list[int]:
    """The ten cells of votes as whole numbers; raises UserError for anything else."""
    if not all(cell.isascii() and cell.isdecimal() and len(cell) < 4 for cell in cells):
        raise UserError(f"{where}: votes must be whole numbers, not {', '.join(map(repr, cells))}")
    return [int(cell) for cell in cells]


_PNG = b"\x89PNG\r\n\x1a\n"


def _decoded(name: str, content: Bytes, where: str) -> np.ndarray:
    try:
        packed = content(name)
    except KeyError:
        raise UserError(f"{where}: the image {name!r} is missing; fetch the archive again") from None
    if packed[:8] == _PNG and (size := struct.unpack(">2I", packed[16:24].rjust(8))) != (FER_SIDE, FER_SIDE):
        raise UserError(
            f"{where}: {name} has {size[0]} x {size[1]} pixels instead of {FER_SIDE} x {FER_SIDE}"
        )
    try:  # nothing else is unpacked, whose size would be known only then
        image = (
            cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED)
            if packed[:8] == _PNG
            else None
        )
    except cv2.error:  # more pixels than OpenCV takes
        image = None
    if image is None:
        raise UserError(f"{where}: {name} is no image, or a damaged one; fetch the archive again")
    if image.ndim != 2 or image.dtype != np.uint8:
        raise UserError(f"{where}: {name} is not an 8-bit gray image; FER2013's faces are")
    return image


PIXELS, VOTES = "fer2013.csv", "fer2013new.csv"

USAGES = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
"""What the column Usage says -> part."""


def _has_tables(root: Path) -> bool:
    """Whether both tables are there."""
    return (root / PIXELS).is_file() and (root / VOTES).is_file()


def _read_tables(root: Path, part: str) -> FaceSet:
    """The faces of one part, in the order of the tables; rows without an image name were dropped by FER+.

    Raises UserError, with file and line: a column that is missing, tables of different length or order, pixels that
    are not 48 x 48 numbers from 0 to 255, votes that are not whole numbers.
    """
    names, votes, images = [], [], []
    with (
        _table(root / PIXELS, ("pixels", "Usage")) as pixels,
        _table(root / VOTES, ("Usage", "Image name", *COLUMNS)) as new,
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
                votes.append(_counts([row[column] or "" for column in COLUMNS], where))
                images.append(_pixels(face["pixels"], f"{root / PIXELS}, line {number}"))
    if not names:
        raise UserError(f"{root}: {VOTES} names no face of the part {part}")
    return FaceSet(tuple(names), np.stack(images), np.array(votes, np.int16))


@contextmanager
def _table(path: Path, columns: tuple[str, ...]) -> Iterator[Iterator[dict[str, str]]]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        reader = csv.DictReader(opened)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            there = ", ".join(map(repr, reader.fieldnames or ())) or "none"
            raise UserError(f"{path}: the column {missing[0]!r} is missing; its first line names {there}")
        yield _rows(path, reader)


def _rows(path: Path, reader: Any) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: is no row of a table ({error})") from None


def _pixels(cell: str | None, where: str) -> np.ndarray:
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
