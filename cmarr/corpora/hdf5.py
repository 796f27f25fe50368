"""HDF5 files read in worker processes: the library can crash or hang on hostile bytes."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.budgets import FOLD, FREE, reason, size_of
from cmarr.corpora.text_files import as_text
from cmarr.errors import Unreadable, UserError
from cmarr.media.clips import Failure, require_whole
from cmarr.media.foreign import Budget, within
from cmarr.media.worker_pool import decode

BUDGET = Budget(seconds=300.0, memory=3 * 2**28, memory_each=FOLD)
"""Of the datasets that are read at a go, so that a false size costs the worker alone."""
LARGEST = 256 * 2**20
"""Bytes of one dataset, far above any utterance's features."""
_GROUP = 16
"""Datasets that are read at a go. One that hangs is ended after the time limit of the whole group."""


@dataclass(frozen=True)
class Entry:
    """One dataset of an HDF5 file, or the first of some names that is there, as `words`; without any, all it holds."""

    path: str
    name: str | None = None
    words: tuple[str, ...] = ()


def list_datasets(paths: Sequence[str | Path], seconds: float = 60.0) -> list[dict[str, tuple[int, ...]]]:
    """Name -> shape of the numeric datasets at the top of each HDF5 file.

    Raises UserError when a file is none, is damaged, or takes its reader down; `seconds` limits one file.
    """
    # the workers care about the path of what they are given, and no more
    files: Any = [[Entry(str(path))] for path in paths]
    results = list(decode(Reader, files, workers=1, seconds=seconds))
    for result in results:
        if isinstance(result, Failure):
            raise UserError(result.reason)
    return results


def read_datasets(
    path: str | Path, names: Iterable[str], seconds: float = 10.0
) -> Iterator[np.ndarray | Failure]:
    """The datasets of some names as float32, in order, or why one cannot be read.

    `seconds` is the time limit for one of them.
    """
    entries = (Entry(str(path), name) for name in names)
    groups: Any = iter(lambda: list(islice(entries, _GROUP)), [])
    return decode(Reader, groups, workers=1, seconds=seconds)


def read_words(path: str | Path, names: Sequence[str], seconds: float = 60.0) -> list[str] | None:
    """The strings or whole numbers, as text, of the first dataset (N,) among `names`; None where there is none.

    Raises UserError when they cannot be read.
    """
    asked: Any = [[Entry(str(path), words=tuple(names))]]
    [result] = decode(Reader, asked, workers=1, seconds=seconds)
    if isinstance(result, Failure):
        raise UserError(result.reason)
    found: list[str] | None = result
    return found


class Reader:
    """What runs in the worker: a function from entries of one file to their contents."""

    def __init__(self) -> None:
        import h5py

        self._h5py = h5py

    def __call__(self, entries: Sequence[Any]) -> list[Any]:
        """Shapes by name for an entry without a name, else a float32 array or a Failure."""
        path = entries[0].path
        require_whole(path)
        try:
            with within(*BUDGET.of(size_of(path))), self._h5py.File(path, "r") as opened:
                return [self._content(opened, entry) for entry in entries]
        except Exception as error:  # damaged files raise nearly every type there is
            raise Unreadable(f"{path} is not a whole HDF5 file ({reason(error)}); fetch it again") from error

    def _content(self, opened: Any, entry: Entry) -> Any:
        if entry.words:
            return self._words(opened, entry)
        if entry.name is None:
            found = ((name, self._numbers(opened, name)) for name in opened)
            return {name: tuple(dataset.shape) for name, dataset in found if dataset is not None}
        try:
            dataset = self._numbers(opened, entry.name)
            if dataset is None:
                return Failure(f"{entry.name} in {entry.path} is no array of numbers")
            if wrong := _claim(dataset):
                return Failure(f"{entry.name} in {entry.path} {wrong}; it is damaged")
            with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, and counts as such
                return np.asarray(dataset[()], np.float32)
        except Exception as error:
            return Failure(f"{entry.name} in {entry.path} cannot be read ({reason(error)}); fetch it again")

    def _words(self, opened: Any, entry: Entry) -> list[str] | None:
        """Of strings of one length what each holds is told by its type, others are as long as they say."""
        for name in entry.words:
            found = self._own(opened, name)
            if found is None or found.ndim != 1 or found.dtype.kind not in "SOiu":
                continue
            if wrong := _claim(found):
                raise Unreadable(f"{name} in {entry.path} {wrong}; it is damaged")
            return list(map(as_text, found[()].tolist()))
        return None

    def _numbers(self, opened: Any, name: str) -> Any:
        """The dataset of that name, if it holds numbers, and holds them in this very file."""
        found = self._own(opened, name)
        return found if found is not None and found.dtype.kind in "fiu" else None

    def _own(self, opened: Any, name: str) -> Any:
        """The dataset of that name, if its content lies in this very file."""
        if not isinstance(opened.get(name, getlink=True), self._h5py.HardLink):
            return None
        found = opened[name]
        if not isinstance(found, self._h5py.Dataset) or found.external or found.is_virtual:
            return None
        return found if found.shape is not None else None  # of nothing, as HDF5 calls it


def _claim(dataset: Any) -> str | None:
    """Why a dataset cannot hold what it says; None where it can."""
    size = dataset.size * dataset.dtype.itemsize
    piece = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if size > LARGEST or piece > LARGEST:
        return f"claims the shape {dataset.shape}"
    if size > max(FREE, FOLD * dataset.id.get_storage_size()):
        return f"claims the shape {dataset.shape}, and lies there in {dataset.id.get_storage_size()} bytes"
    return None
