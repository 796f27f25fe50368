"""Progress with an estimate of the time left, on a terminal and in a notebook; silence elsewhere."""

import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

from tqdm import tqdm

T = TypeVar("T")

warnings.filterwarnings(
    "ignore", "IProgress not found"
)  # other libraries ask for widgets; bars here are text


def progress(items: Iterable[T], label: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items`, showing a bar on standard error when that is a terminal or a notebook.

    `label` says what is being done, `unit` what one item is ('utterance', 'epoch').
    """
    return iter(tqdm(items, desc=label, unit=f" {unit}", total=total, disable=_silent(), dynamic_ncols=True))


def progress_bar(total: int, label: str, unit: str) -> "tqdm[NoReturn]":
    """The same bar, for whoever counts; a context manager with `update(n)`."""
    return tqdm(total=total, desc=label, unit=f" {unit}", disable=_silent(), dynamic_ncols=True)


def _silent() -> bool | None:
    """None leaves it to tqdm, which looks for a terminal: a notebook has none, and shows the bar all the same."""
    kernel = sys.modules.get("ipykernel.zmqshell")
    return False if kernel is not None and kernel.ZMQInteractiveShell.initialized() else None
