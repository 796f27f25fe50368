"""Progress with an estimate of the time left, on a terminal; silence elsewhere."""

from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], label: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items`, showing a bar on standard error when that is a terminal.

    `label` says what is being done, `unit` what one item is ('utterance', 'epoch').
    """
    return iter(tqdm(items, desc=label, unit=f" {unit}", total=total, disable=None, dynamic_ncols=True))


def progress_bar(total: int, label: str, unit: str) -> "tqdm[NoReturn]":
    """The same bar, for whoever counts; a context manager with `update(n)`."""
    return tqdm(total=total, desc=label, unit=f" {unit}", disable=None, dynamic_ncols=True)
