"""Every sealed file of a project or of an exported folder, checked one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cmarr.budgets import is_device, real, require_name
from cmarr.errors import NotComputed, UserError
from cmarr.files import file_digest, is_left_over
from cmarr.objects import absence
from cmarr.seals import LIST, damaged, read_list, require_listed, require_whole

SEALED = (".parquet", ".safetensors", ".json", ".state")
"""Endings of files that hold a seal of their own, where no list names them."""

_OF_A_PROJECT = ("data", "metrics", ".cmarr/unfinished", ".cmarr/settings", ".cmarr/times")

_COSTS = ("cost.json", "pretrain.json")
"""What of metrics/ holds its own seal: a list with their digests would change whenever a training took longer."""

_STUDIED = "sensitivity.csv"
"""Results of the parameter study: sealed once there are any."""

_INVENTORY = "inventory.json"
"""File of a folder `corpus` that is sealed; what lies around and below it is the corpus' own."""


@dataclass(frozen=True)
class Verdict:
    """One file: whole, or what is wrong with it, a sentence without its end."""

    path: Path
    fault: str = ""


def verify(paths: Sequence[str | Path]) -> Iterator[Verdict]:
    """Check what lies at some paths: files, exported folders, projects (of which data/, metrics/ and .cmarr/ are).

    Files of a list are those it names, a missing one among them; in metrics/ and in exported folders others are left
    alone, being read by nobody or written by hand. Of a corpus its inventory is checked.

    Raises UserError for a path that is not there, and for a pipe or a device.
    """
    for path in map(Path, paths):
        require_name(path)
        if not path.exists() or is_device(path):
            what = "is a pipe or a device" if path.exists() else absence(path)
            raise UserError(f"{path}: {what}; name files, exported folders or projects")
        if path.is_file():
            yield _own(path) if not path.name.startswith(LIST) else Verdict(path)
            continue
        places = [path / name for name in _OF_A_PROJECT] if (path / "params.yaml").is_file() else [path]
        for place in places:
            yield from _below(place)


def _below(folder: Path) -> Iterator[Verdict]:
    lists = sorted(folder.rglob(f"{LIST}*"))
    listed: set[Path] = set()
    for sums in lists:
        named = read_list(sums)
        if not named:
            yield Verdict(sums, f"{sums} is damaged: it names no file")
        for name, digest in named.items():
            path = sums.parent / name
            listed.add(real(path))
            yield _tried(path, partial(_as_listed, path, digest))
    for path in sorted(folder.rglob("*")):
        if (
            (path.suffix in SEALED or path.name == _STUDIED)
            and path.is_file()
            and real(path) not in listed
            and _is_ours(path, folder)
        ):
            yield _own(path)


def _is_ours(path: Path, folder: Path) -> bool:
    """Whether a file that no list names must have a seal: not media of a corpus, nor what people read or write."""
    if is_left_over(path):
        return False
    if folder.name == "metrics":
        return path.name in _COSTS or (path.name == _STUDIED and path.read_bytes().count(b"\n") != 1)
    if any((path.parent / name).is_file() for name in (LIST, "MLmodel")):  # an exported folder
        return path.suffix == ".safetensors"
    above = [path.parent, *path.parent.parents]
    inside = above[: above.index(folder) + 1]
    return path.name == _INVENTORY or not any((place / _INVENTORY).is_file() for place in inside)


def _as_listed(path: Path, digest: str, again: str) -> None:
    if not path.is_file():
        raise NotComputed(f"{path} is not there, and a list names it; {again}")
    if file_digest(path) != digest:
        raise damaged(path, again)


def _own(path: Path) -> Verdict:
    def check(again: str) -> None:
        beside = path.with_name(f"{path.name}.sha256")  # as of Denseface's weights
        if beside.is_file():
            _as_listed(path, read_list(beside).get(path.name, ""), again)
        elif any(path.name in read_list(sums) for sums in path.parent.glob(f"{LIST}*")):
            require_listed(path, file_digest(path), again)
        else:
            require_whole(path, again)

    return _tried(path, check)


def _tried(path: Path, check: Callable[[str], None]) -> Verdict:
    try:
        check("")
    except OSError as error:
        return Verdict(path, f"{path} cannot be read ({error.strerror})")
    except UserError as error:
        return Verdict(path, str(error).removesuffix("; "))
    return Verdict(path)
