"""What the file of a trained model says of itself, read without torch and without the weights."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from cmarr import objects
from cmarr.budgets import plain_json
from cmarr.errors import NotComputed, UserError, first_line
from cmarr.folds.privileges import told
from cmarr.seals import KEY, require_vouched

_AGAIN = "train it again"
EXPORTED = "export the model again with `cmarr export`, or fetch or install it again"
"""How an exported folder is made anew."""


def require_model(path: str | Path, *, rest: bool = True) -> None:
    """Raise UserError unless a model's file is whole, or, without its `rest`, what it says of itself."""
    require_vouched(path, _AGAIN, EXPORTED, rest=rest)


@contextlib.contextmanager
def whole_model(path: str | Path, *, rest: bool = True) -> Iterator[Path]:
    """A model's file, checked as `require_model` does; of an object a copy, while the block lasts."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(objects.local(path))
        except FileNotFoundError:
            raise NotComputed(f"{path}: does not exist; {_AGAIN}") from None
        before = file.stat() if file.is_file() else None
        require_model(file, rest=rest)
        yield file
        if before and _looks(before) != _looks(file.stat()):
            raise UserError(f"{path}: changed while it was read; run again when nothing writes it any more")


def _looks(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_description(path: str | Path) -> dict[str, Any]:
    """What a model says of itself; its weights are not read. Raises UserError as `cmarr.methods.model.load_model`."""
    try:
        with whole_model(path, rest=False) as file, safe_open(file, "np") as opened:
            description = described(opened)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{path}: is not a model of this product, or is damaged ({first_line(error)})"
        ) from None
    try:
        refuse_privileged(description)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if "score" not in description:
        raise NotComputed(f"{path}: an earlier version of cmarr trained it; train it again")
    return description


def refuse_privileged(description: Mapping[str, Any]) -> None:
    """Raise UserError for a model that was trained with what nobody else is allowed: it answers for nothing."""
    if privileges := description.get("privileges"):
        raise UserError(
            f"was trained {told(privileges)}, to measure what that is worth; it is no model to use. Take "
            f"{description.get('method')} itself"
        )


def described(opened: Any) -> dict[str, Any]:
    """The description in an open file. Raises KeyError or ValueError for one of another kind."""
    description: dict[str, Any] = plain_json((opened.metadata() or {})["cmarr"])
    if not isinstance(description, dict):
        raise ValueError("its description is none")
    description.pop(KEY, None)
    return description
