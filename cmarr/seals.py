"""One seal for every file that cmarr writes and reads again: a digest that each reader checks before it parses.

The seal stands in the file itself, so that both are replaced at once and equal content stays equal bytes. It is written
with zeros in its place, the file is hashed, and the zeros give way to the digest:

    .parquet      in the metadata of its footer
    .safetensors  in the description in its header
    .json         under the key `seal`
    others        in a last line of their own, where their readers stop before (checkpoints, unpacked features, the
                  results of the parameter study)

Of Parquet and safetensors the seal has two digests, of the footer or header that says what is there and of the rest, so
that a reader of the former need not read the latter. Any changed bit changes a digest, or the mark of the seal itself.

What people and other programs read as it is (tables, scores, an exported folder) is sealed from outside: a list in the
form of `sha256sum`, in a file `SHA256SUMS...` beside it, names each file and its digest.
"""

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from cmarr import objects
from cmarr.budgets import is_device, plain_json
from cmarr.errors import NotComputed, NotWhole, UserError
from cmarr.files import atomic, canonical_json, file_digest, write_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

KEY = "seal"
"""Name of the seal where a format names things."""

_MARK = b"cmarr-seal:"
_DIGEST = 64
_ZEROS = "0" * _DIGEST
_ONE = len(_MARK) + _DIGEST
_BOTH = _ONE + 1 + _DIGEST

BLANK = f"{_MARK.decode()}{_ZEROS}.{_ZEROS}"
"""What stands for the seal until the file is hashed."""

_TRAILER = f"\n{BLANK}\n".encode()

LIST = "SHA256SUMS"
"""Name, or how it begins, of a list of files and their digests."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_BLOCK = 1 << 20
_LIST_BYTES, _SEALED_BYTES = 1 << 24, 1 << 28
"""What a list has at most, and the part of a file that holds its seal: more would be read into memory."""


@contextlib.contextmanager
def sealed(path: str | Path, kind: str = "") -> Iterator[Path]:
    """As `files.atomic`, and the file is sealed before it is put in place, as one of the ending `kind`, or its own.

    A .parquet or .safetensors file must have been written with `BLANK` in its metadata.
    """
    with atomic(path) as temporary:
        yield temporary
        _seal(temporary, kind or Path(path).suffix)


def require_whole(path: str | Path, again: str, *, rest: bool = True, kind: str = "") -> None:
    """Check the seal of a file; `again` says in a sentence how it is made anew.

    rest: False checks of Parquet its footer alone, of safetensors its header; of other files it makes no difference
    kind: the ending of files of its kind, if it has another

    Raises NotWhole where a bit has changed or there is no seal, NotComputed where there is no file.
    """
    with _opened(path, again, rest) as opened:
        _check(opened, Path(path), kind, again, rest)


@contextlib.contextmanager
def _opened(path: str | Path, again: str, rest: bool = True) -> Iterator[BinaryIO]:
    """A file, opened. Raises NotComputed where there is none, UserError where something else has its name."""
    if is_device(path):
        raise UserError(f"{path} is a pipe or a device and no file; remove it, and {again}")
    with contextlib.ExitStack() as stack:
        try:
            if rest and objects.is_remote(path):
                opened: BinaryIO = io.BytesIO(objects.read(path))
            else:
                opened = stack.enter_context(objects.opened(path))
        except FileNotFoundError:
            raise NotComputed(f"{path}: does not exist; {again}") from None
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}); put that right, or {again}"
            ) from error
        yield opened


def damaged(path: str | Path, again: str) -> NotWhole:
    """The error of a file of which a bit has changed."""
    return NotWhole(path, f"{path} is damaged: it does not hold what was written; {again}")


def whole(path: str | Path) -> bool:
    """Whether a file is there, and as it was written."""
    try:
        require_whole(path, "")
    except (UserError, OSError):
        return False
    return True


def read_whole(path: str | Path, again: str, kind: str = "") -> bytes:
    """The bytes of a sealed file, checked. Raises as `require_whole`."""
    with _opened(path, again) as opened:
        content = opened.read()
    _check(io.BytesIO(content), Path(path), kind, again, True)
    return content


def read_lines(path: str | Path, again: str) -> bytes:
    """The bytes of a file that is sealed in a last line, without that. Raises as `require_whole`."""
    return read_whole(path, again)[: -len(_TRAILER)]


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as canonical JSON, sealed."""
    with sealed(path, ".json") as temporary:
        temporary.write_text(canonical_json({**value, KEY: BLANK}), encoding="utf-8")


def read_json(path: str | Path, again: str) -> dict[str, Any]:
    """What `write_json` was given. Raises as `require_whole`."""
    values: dict[str, Any] = json.loads(read_whole(path, again, ".json"))
    del values[KEY]
    return values


def write_table(path: str | Path, table: "pa.Table", **options: Any) -> None:
    """Write an Arrow table with the metadata of its schema as Parquet, sealed; `options` as of `ParquetWriter`."""
    import pyarrow.parquet as pq

    with (
        sealed(path, ".parquet") as temporary,
        pq.ParquetWriter(temporary, table.schema, **options) as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata({KEY: BLANK})


def read_table(path: str | Path, again: str, columns: Sequence[str] = ()) -> "pa.Table":
    """What `write_table` was given. Raises as `require_whole`, and NotWhole for a table that lacks one of `columns`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(read_whole(path, again, ".parquet")))
    if lacking := [name for name in columns if name not in table.column_names]:
        raise NotWhole(path, f"{path} holds another table: it has no column {lacking[0]}; {again}")
    return table.replace_schema_metadata(_without_seal(table.schema.metadata))


def read_metadata(path: str | Path, again: str) -> dict[str, str]:
    """The metadata of a sealed Parquet file; only its footer is read and checked. Raises as `require_whole`."""
    import pyarrow.parquet as pq

    require_whole(path, again, rest=False, kind=".parquet")
    with objects.opened(path) as opened:
        found = _without_seal(pq.read_schema(opened).metadata) or {}
    return {key.decode(): value.decode() for key, value in found.items()}


def write_frame(path: str | Path, frame: "pd.DataFrame", **options: Any) -> None:
    """Write a data frame as `write_table` does a table; its index is not kept."""
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_table(path, table, **options)


def read_frame(path: str | Path, again: str) -> "pd.DataFrame":
    """What `write_frame` was given. Raises as `require_whole`."""
    return read_table(path, again).to_pandas()


def _without_seal(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    kept = {
        key: value for key, value in (metadata or {}).items() if key not in (KEY.encode(), b"ARROW:schema")
    }
    return kept or None


def require_vouched(path: str | Path, again: str, again_listed: str, *, rest: bool = True) -> None:
    """Check a file that a list beside it names (`again_listed` says how both are made anew), or that has its own seal.

    rest: False takes the file's own seal where it has one, and then checks no more of it than `require_whole` does

    Raises as `require_whole`.
    """
    path = Path(path)
    listed = path.is_file() and any(path.name in read_list(sums) for sums in path.parent.glob(f"{LIST}*"))
    if not listed or (not rest and _has_seal(path)):
        require_whole(path, again, rest=rest)
    else:
        require_listed(path, file_digest(path), again_listed)


def _has_seal(path: Path) -> bool:
    with path.open("rb") as opened:
        return isinstance(_found(opened, path.suffix, False), _Found)


# -- the seal in a file -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """Where the seal of an open file stands, what it says, and what the file says."""

    place: int
    said: bytes
    contents: str
    rest: str

    @property
    def due(self) -> bytes:
        """What it should say."""
        return f"{_MARK.decode()}{self.contents}.{self.rest}".encode()


def _seal(path: Path, suffix: str) -> None:
    with path.open("r+b") as opened:
        if suffix not in _SPANS:
            opened.seek(0, os.SEEK_END)
            opened.write(_TRAILER)
        found = _found(opened, suffix, True)
        if isinstance(found, str):
            raise UserError(f"{path.name}: cannot be sealed: {found}")
        opened.seek(found.place)
        opened.write(found.due)


def _check(opened: BinaryIO, path: Path, kind: str, again: str, rest: bool) -> None:
    found = _found(opened, kind or path.suffix, rest)
    if isinstance(found, str):
        raise NotWhole(path, f"{path} {found}; {again}")
    due = found.due if rest else found.due[:_ONE]
    if found.said[: len(due)] != due:
        raise damaged(path, again)


def _found(opened: BinaryIO, suffix: str, rest: bool) -> _Found | str:
    """The seal and what it should be; or, in words, why there is none."""
    size = opened.seek(0, os.SEEK_END)
    span = _SPANS.get(suffix, _last_line)(opened, size)
    if span is None or span[1] - span[0] > _SEALED_BYTES:
        return "is damaged: it is cut off, or no file of its kind"
    start, end = span
    opened.seek(start)
    contents = bytearray(opened.read(end - start))
    if contents.count(_MARK) != 1:
        return "has no seal: an earlier version of cmarr wrote it, something else did, or it is damaged"
    place = contents.index(_MARK)
    said = bytes(contents[place : place + _BOTH])
    contents[place : place + _BOTH] = BLANK.encode()[: len(said)]
    others = hashlib.sha256()
    if rest:
        for first, last in ((0, start), (end, size)):
            opened.seek(first)
            while block := opened.read(min(_BLOCK, last - opened.tell())):
                others.update(block)
    return _Found(start + place, said, hashlib.sha256(contents).hexdigest(), others.hexdigest())


def _parquet_footer(opened: BinaryIO, size: int) -> tuple[int, int] | None:
    if size < 12:
        return None
    opened.seek(size - 8)
    last = opened.read(8)
    start = size - 8 - int.from_bytes(last[:4], "little")
    return (start, size) if last[4:] == b"PAR1" and start >= 4 else None


def _safetensors_header(opened: BinaryIO, size: int) -> tuple[int, int] | None:
    opened.seek(0)
    end = 8 + int.from_bytes(opened.read(8), "little")
    return (0, end) if end <= size else None


def _everything(opened: BinaryIO, size: int) -> tuple[int, int] | None:
    return 0, size


def _last_line(opened: BinaryIO, size: int) -> tuple[int, int] | None:
    return (size - len(_TRAILER), size) if size >= len(_TRAILER) else None


_SPANS = {".parquet": _parquet_footer, ".safetensors": _safetensors_header, ".json": _everything}
"""Ending -> where the part lies that holds the seal."""


# -- seals from outside ------------------------------------------------------------------------------


def write_list(path: str | Path, files: Iterable[str | Path]) -> None:
    """Write the digests of files below the folder of `path`, or beside it, as `sha256sum` does."""
    path = Path(path)
    names = {Path(os.path.relpath(file, path.parent)).as_posix(): file for file in files}
    write_text(path, "".join(f"{file_digest(names[name])}  {name}\n" for name in sorted(names)))


def read_list(path: str | Path) -> dict[str, str]:
    """Name -> digest, of the lines that are whole; of what is no list of a size that lists have, none."""
    if not os.path.isfile(path) and os.path.exists(path):  # noqa: PTH110, PTH113 - a folder or a pipe
        return {}
    with Path(path).open("rb") as opened:
        content = opened.read(_LIST_BYTES + 1)
    lines = content.decode("utf-8", "replace").split("\n") if len(content) <= _LIST_BYTES else []
    return {found[2]: found[1] for line in lines if (found := _LINE.fullmatch(line))}


def read_listed(path: str | Path, again: str) -> bytes:
    """The bytes of a file that a list beside it names, above it, or in the folder of its name (scores.json: scores/).

    Raises as `require_whole`.
    """
    path = Path(path)
    with _opened(path, again) as opened:
        content = opened.read()
    require_listed(path, hashlib.sha256(content).hexdigest(), again)
    return content


def require_listed(path: Path, digest: str, again: str) -> None:
    """Raise NotWhole unless a list names a file with this digest."""
    known = [
        said
        for folder in (path.parent, path.parent.parent, path.with_suffix(""))
        for sums in sorted(folder.glob(f"{LIST}*"))
        if (said := read_list(sums).get(Path(os.path.relpath(path, folder)).as_posix()))
    ]
    if not known:
        raise NotWhole(
            path,
            f"{path} is named in no {LIST} beside it: an earlier version of cmarr wrote it, or the list is damaged; "
            f"{again}",
        )
    if digest not in known:
        raise damaged(path, again)


def read_listed_json(path: str | Path, again: str) -> Any:
    """JSON that a list names, see `read_listed`."""
    return plain_json(read_listed(path, again))


def read_listed_csv(path: str | Path, again: str) -> "pd.DataFrame":
    """A table that a list names, see `read_listed`."""
    import pandas as pd

    return pd.read_csv(io.BytesIO(read_listed(path, again)))
