"""Arrays of features as people keep them: by the name of each utterance, or a row an utterance in a table's order.

    folder/<id>.npy                    an array (T, D), or (D,), an utterance
    file.npz, file.h5                  an array an utterance under its id; or one array for all
    file.npy                           one array for all: (N, D), or (N, T, D)
    file.parquet, file.csv             a column `id`, and one of lists or one a feature; rows of one id are its steps

Nothing is unpickled, and what a file claims is checked against what it holds before memory is taken.
"""

import math
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from cmarr.budgets import is_device, reason, require_unpacked, size_of
from cmarr.corpora.hdf5 import LARGEST, list_datasets, read_datasets, read_words
from cmarr.corpora.inventory import corpus_files
from cmarr.corpora.parquet import BUDGET as TABLES
from cmarr.corpora.parquet import read_columns
from cmarr.corpora.text_files import as_text, separated
from cmarr.errors import UserError
from cmarr.files import digest, file_digest
from cmarr.media.clips import Failure, require_whole
from cmarr.media.foreign import read_foreign

ENDINGS = (".npz", ".npy", ".h5", ".hdf5", ".parquet", ".csv")
IDS = ("id", "ids", "names", "keys")
"""What an array of ids beside an array of all utterances is called."""
LENGTHS = ("length", "lengths")
LINE = 1 << 20
"""Bytes of a table's line that are looked at for what separates its cells."""
LIST_SECONDS = 300.0
"""Time limit for looking through one HDF5 file."""

Shape = tuple[int, ...]


class Arrays(Protocol):
    """The arrays of one modality."""

    def shapes(self) -> dict[str, Shape]:
        """Id -> shape of its array, (T, D)."""
        ...

    def read(self, ids: Iterable[str]) -> Iterator[np.ndarray | Failure]:
        """The arrays (T, D) of some ids that are there, in order, or why one cannot be read."""
        ...


def open_arrays(path: Path, ids: Sequence[str], column: str = "") -> Arrays:
    """The arrays of a file or folder. Raises UserError for one that cannot be read, or is none.

    ids:    the utterances, in the order of their table, where a file names none
    column: of a Parquet file with several columns of lists
    """
    if path.is_dir():
        return _Folder(path, ids)
    require_whole(path)
    ending = path.suffix.lower()
    if ending == ".parquet":
        return _Rows(path, read_columns(path), column)
    if ending == ".csv":
        return _Rows(path, read_foreign(_csv, path, budget=TABLES), column)
    if ending == ".npy":
        return _whole(path, _mapped(path), ids)
    if ending == ".npz":
        return _npz(path, ids)
    if ending in (".h5", ".hdf5"):
        return _hdf5(path, ids)
    raise UserError(f"{path}: is none of {', '.join(ENDINGS)}, nor a folder of .npy files")


def arrays_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's arrays."""
    if path.is_file():
        return file_digest(path)
    return digest({str(p.relative_to(path)): file_digest(p) for p in corpus_files(path, {".npy"})})


def _two_axes(shape: Shape) -> Shape:
    """(T, D) of what is (D,) or (T, D); another shape stays, and fits nothing."""
    return (1, *shape) if len(shape) == 1 else shape


def _numbers(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, and counts as such
        found = np.asarray(array, np.float32)
    return found.reshape(_two_axes(found.shape))


def mapped(path: Path, again: str = "write it again") -> np.ndarray:
    """The array of a .npy file; `again` ends the sentence of the UserError where there is none that is whole."""
    if is_device(path):
        raise UserError(f"{path} is a pipe or a device and no file; give a file")
    require_whole(path)
    try:
        # mapped, because then a false shape is checked against the file's size before memory is taken
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # hostile bytes raise nearly every type there is
        raise UserError(f"{path} is no whole .npy file ({reason(error)}); {again}") from error
    require_unpacked(path, array.nbytes, size_of(path))
    return array


def _mapped(path: Path) -> np.ndarray:
    array = mapped(path)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path} holds {array.dtype} and no real numbers; write it again")
    return array


class _Folder:
    def __init__(self, path: Path, ids: Sequence[str]):
        files, known = corpus_files(path, {".npy"}), set(ids)
        often = Counter(file.stem for file in files)
        self.files: dict[str, Path] = {}
        for file in files:
            whole = str(file.relative_to(path).with_suffix(""))
            # below folders of their own, unless two have the same name; Macs take letters with accents apart
            names = [whole, *([file.stem] if often[file.stem] == 1 else [])]
            names += [unicodedata.normalize("NFC", name) for name in names]
            self.files[next((name for name in names if name in known), whole)] = file
        if not files:
            raise UserError(f"{path} holds no .npy file; expected one an utterance, called as its id")

    def shapes(self) -> dict[str, Shape]:
        found = {}
        for name, path in self.files.items():
            try:
                array = _mapped(path)
                found[name] = _two_axes(array.shape) if array.nbytes <= LARGEST else ()
            except UserError:
                found[name] = ()
        return found

    def read(self, ids: Iterable[str]) -> Iterator[np.ndarray | Failure]:
        for name in ids:
            try:
                yield _numbers(_mapped(self.files[name]))
            except UserError as error:
                yield Failure(str(error))


class _Whole:
    """One array for all: rows of an array (N, D) or (N, T, D), cut to their lengths where these are told."""

    def __init__(self, array: np.ndarray, ids: Sequence[str], lengths: np.ndarray | None = None):
        self.array, self.lengths = array, lengths
        self.rows = {name: row for row, name in enumerate(ids)}

    def _length(self, row: int) -> int:
        longest = self.array.shape[1] if self.array.ndim == 3 else 1
        return longest if self.lengths is None else int(np.clip(self.lengths[row], 0, longest))

    def shapes(self) -> dict[str, Shape]:
        return {name: (self._length(row), self.array.shape[-1]) for name, row in self.rows.items()}

    def read(self, ids: Iterable[str]) -> Iterator[np.ndarray | Failure]:
        for name in ids:
            row = self.rows[name]
            yield _numbers(self.array[row])[: self._length(row)]


def _whole(path: Path, array: np.ndarray, ids: Sequence[str], lengths: np.ndarray | None = None) -> _Whole:
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or not array.shape[-1]:
        raise UserError(
            f"{path}: an array for all utterances holds numbers of the shape (N, D) or (N, T, D), D at least 1, not "
            f"{array.dtype} of the shape {array.shape}; write it again"
        )
    if len(array) != len(ids):
        raise UserError(
            f"{path} holds {len(array)} rows, the table {len(ids)} utterances; one of them lacks some: give the arrays "
            "their ids, as `ids` beside them or one array an utterance"
        )
    if len(set(ids)) < len(ids):
        raise UserError(f"{path}: an id appears twice among its ids")
    if lengths is not None and lengths.shape != (len(ids),):
        raise UserError(f"{path}: has {len(ids)} utterances and lengths of the shape {lengths.shape}")
    if lengths is not None and not (lengths.dtype.kind in "biuf" and np.isfinite(lengths).all()):
        raise UserError(
            f"{path}: its lengths hold NaN, infinity or no numbers; write how many steps each utterance has"
        )
    if array[:1].size * 8 > LARGEST:
        raise UserError(
            f"{path}: an utterance of the shape {array.shape[1:]} is too large; is it the right file?"
        )
    return _Whole(array, ids, lengths)


def _npz(path: Path, ids: Sequence[str]) -> Arrays:
    try:
        archive = _Npz(path)
        names = set(archive.held)
        held = [name for name in names if name not in (*IDS, *LENGTHS)]
        told = next((name for name in IDS if name in names), None)
        if (told is None and len(held) == 1 and held[0] not in ids) or (told and len(held) == 1):
            given = [as_text(x) for x in archive.array(told).tolist()] if told else ids
            length = next((name for name in LENGTHS if name in names), None)
            return _whole(path, archive.array(held[0]), given, archive.array(length) if length else None)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} is no whole .npz file of numbers ({reason(error)}); write it again"
        ) from error
    return archive


class _Npz:
    """The members of an archive. What each unpacks to is told by its directory, and what it claims by its header."""

    def __init__(self, path: Path):
        self.path = path
        with zipfile.ZipFile(path) as opened:
            members = [info for info in opened.infolist() if info.filename.endswith(".npy")]
        require_unpacked(path, sum(info.file_size for info in members), size_of(path))
        self.held = {info.filename.removesuffix(".npy"): info for info in members}

    def array(self, name: str) -> np.ndarray:
        """A member. Raises ValueError where it is not what its header says."""
        info = self.held[name]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is packed as NumPy packs nothing")
        with zipfile.ZipFile(self.path) as opened, opened.open(info) as member:
            shape, fortran, dtype = _header(member)
            count = math.prod(shape)
            if dtype.hasobject or any(n < 0 for n in shape) or count * dtype.itemsize > info.file_size:
                raise ValueError(f"{name} claims the shape {shape} of {dtype}, which it does not hold")
            content = member.read(count * dtype.itemsize)
        if len(content) < count * dtype.itemsize:
            raise ValueError(f"{name} is cut off")
        return np.frombuffer(content, dtype, count).reshape(shape, order="F" if fortran else "C")

    def shapes(self) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        with zipfile.ZipFile(self.path) as opened:
            for name, info in self.held.items():
                try:
                    with opened.open(info) as member:
                        shape, _, dtype = _header(member)
                    fits = math.prod(shape) * dtype.itemsize <= min(info.file_size, LARGEST)
                    found[name] = _two_axes(shape) if fits and dtype.kind in "biuf" else ()
                except Exception:
                    found[name] = ()
        return found

    def read(self, ids: Iterable[str]) -> Iterator[np.ndarray | Failure]:
        for name in ids:
            try:
                yield _numbers(self.array(name))
            except Exception as error:
                yield Failure(f"{name} in {self.path} cannot be read ({reason(error)}); write it again")


def _header(member: Any) -> tuple[Shape, bool, np.dtype]:
    """Shape, order and type of a .npy file, of which the numbers come next."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    found: tuple[Shape, bool, np.dtype] = read[np.lib.format.read_magic(member)](member)
    return found


def _hdf5(path: Path, ids: Sequence[str]) -> Arrays:
    [shapes] = list_datasets([path], LIST_SECONDS)
    held = [name for name in shapes if name not in (*IDS, *LENGTHS)]
    told = read_words(path, IDS, LIST_SECONDS)
    if len(held) == 1 and (told or held[0] not in ids):
        length = next((name for name in LENGTHS if name in shapes), None)
        found: list[np.ndarray] = []
        for array in read_datasets(path, [held[0], *([length] if length else [])], LIST_SECONDS):
            if isinstance(array, Failure):
                raise UserError(array.reason)
            found.append(array)
        return _whole(path, found[0], told or ids, found[1] if length else None)
    return _Hdf5(path, {name: shapes[name] for name in held})


class _Hdf5:
    def __init__(self, path: Path, shapes: dict[str, Shape]):
        self.path, self._shapes = path, {name: _two_axes(shape) for name, shape in shapes.items()}

    def shapes(self) -> dict[str, Shape]:
        return self._shapes

    def read(self, ids: Iterable[str]) -> Iterator[np.ndarray | Failure]:
        for array in read_datasets(self.path, ids):
            yield array if isinstance(array, Failure) else _numbers(array)


def _csv(path: Path) -> pa.Table:
    with path.open("rb") as opened:
        heading, first = (opened.readline(LINE).decode("utf-8", "replace") for _ in range(2))
    _, delimiter, _ = separated(heading)
    comma = delimiter == ";" and "," in first  # of a spreadsheet that writes 0,5
    named = csv.ConvertOptions(
        column_types={"id": pa.string()}, strings_can_be_null=False, decimal_point="," if comma else "."
    )
    try:
        return csv.read_csv(path, convert_options=named, parse_options=csv.ParseOptions(delimiter=delimiter))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is no table of numbers ({reason(error)}); write it again") from error


class _Rows:
    """Rows of one id are its steps, in their order; of lists of lists, one row is the whole."""

    def __init__(self, path: Path, table: pa.Table, column: str):
        self.path = path
        if "id" not in table.column_names:
            raise UserError(f"{path}: no column id; it says which utterance a row belongs to")
        lists = [f.name for f in table.schema if pa.types.is_nested(f.type)]
        chosen = [column] if column in table.column_names else lists
        if len(chosen) > 1:
            raise UserError(
                f"{path}: several columns of lists ({', '.join(chosen)}); call the right one {column}"
            )
        numeric = [
            f.name for f in table.schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)
        ]
        self.columns = chosen or [name for name in numeric if name != "id"]
        if not self.columns:
            raise UserError(f"{path}: holds no column of numbers or of lists of numbers")
        self.nested = bool(chosen)
        self.table = table
        order: dict[str, list[int]] = {}
        for row, name in enumerate(table["id"].to_pylist()):
            order.setdefault(as_text(name), []).append(row)
        self.rows = order

    def _array(self, name: str) -> np.ndarray:
        rows = self.rows[name]
        part = (
            self.table.take(pa.array(rows))
            if rows != list(range(rows[0], rows[0] + len(rows)))
            else self.table.slice(rows[0], len(rows))
        )
        if self.nested:
            return _matrix(part[self.columns[0]].combine_chunks().drop_null())
        return np.stack([pc.cast(part[c], pa.float32(), safe=False).to_numpy() for c in self.columns], 1)

    def shapes(self) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        for name, array in zip(self.rows, self.read(self.rows), strict=True):
            found[name] = () if isinstance(array, Failure) else array.shape
        return found

    def read(self, ids: Iterable[str]) -> Iterator[np.ndarray | Failure]:
        for name in ids:
            try:
                yield _numbers(self._array(name))
            except (ValueError, TypeError, pa.ArrowException) as error:
                yield Failure(f"{name} in {self.path} is no array of numbers ({reason(error)})")


def _matrix(lists: pa.Array) -> np.ndarray:
    """(T, D) of T lists of D numbers each, or of lists of such lists. Raises ValueError where they are none."""
    if pa.types.is_nested(lists.type.value_type):
        lists = pc.list_flatten(lists)
    widths = pc.unique(pc.list_value_length(lists)).to_pylist()
    if len(widths) != 1 or widths[0] is None:
        raise ValueError("its lists are of several lengths" if len(widths) > 1 else "it holds no list")
    numbers = pc.cast(pc.list_flatten(lists), pa.float32(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False)).reshape(len(lists), widths[0])
