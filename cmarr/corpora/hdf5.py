"""HDF5 files read in worker processes: the library can crash or hang on hostile bytes."""

import resource
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.errors import Unreadable, UserError
from cmarr.media.clips import Failure
from cmarr.media.workers import decode

MEMORY = 8 * 2**30
"""Bytes of address space a worker may take, so that a false size in a file costs the worker alone."""
LARGEST = 256 * 2**20
"""Bytes of one dataset, far above any utterance's features."""
_GROUP = 64


@dataclass(frozen=True)
class Entry:
    """One dataset of an HDF5 file; without a name, all that the file holds."""

    path: str
    name: str | None = None


def list_datasets(paths: Sequence[str | Path], seconds: float = 60.0) -> list[dict[str, tuple[int, ...]]]:
    """Name -> shape of the numeric datasets at the top of each HDF5 file.

    Raises UserError when a file is none, is damaged, or takes its reader down; `seconds` limits one file.
    """
    # the workers care about the path of what they are given, and no more
    files: Any = [[Entry(str(path))] for path in paths]
    answers = list(decode(Reader, files, workers=1, seconds=seconds))
    for answer in answers:
        if isinstance(answer, Failure):
            raise UserError(answer.reason)
    return answers


def read_datasets(
    path: str | Path, names: Iterable[str], seconds: float = 60.0
) -> Iterator[np.ndarray | Failure]:
    """The datasets of some names as float32, in order, or why one cannot be read.

    `seconds` is the time limit for one of them.
    """
    entries = (Entry(str(path), name) for name in names)
    groups: Any = iter(lambda: list(islice(entries, _GROUP)), [])
    return decode(Reader, groups, workers=1, seconds=seconds)


class Reader:
    """What runs in the worker: a function from entries of one file to their contents."""

    def __init__(self) -> None:
        import h5py

        self._open = h5py.File
        self._dataset = h5py.Dataset
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))

    def __call__(self, entries: Sequence[Any]) -> list[Any]:
        """Shapes by name for an entry without a name, else a float32 array or a Failure."""
        path = entries[0].path
        try:
            with self._open(path, "r") as opened:
                return [self._answer(opened, entry) for entry in entries]
        except Unreadable:
            raise
        except Exception as error:  # damaged files raise nearly every type there is
            raise Unreadable(
                f"{path} is not a whole HDF5 file ({_first_line(error)}); fetch it again"
            ) from error

    def _answer(self, opened: Any, entry: Entry) -> Any:
        if entry.name is None:
            items = ((name, opened[name]) for name in opened)
            return {
                n: tuple(d.shape) for n, d in items if isinstance(d, self._dataset) and d.dtype.kind in "fiu"
            }
        try:
            dataset = opened[entry.name]
            if not isinstance(dataset, self._dataset) or dataset.dtype.kind not in "fiu":
                return Failure(f"{entry.name} in {entry.path} is no array of numbers")
            if dataset.size * dataset.dtype.itemsize > LARGEST:
                return Failure(
                    f"{entry.name} in {entry.path} claims the shape {dataset.shape}; it is damaged"
                )
            with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, and counts as such
                return np.asarray(dataset[()], np.float32)
        except Exception as error:
            return Failure(
                f"{entry.name} in {entry.path} cannot be read ({_first_line(error)}); fetch it again"
            )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
