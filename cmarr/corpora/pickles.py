"""Opening a pickle that somebody else wrote, without running anything in it.

A pickle is a program: `pickle.load` calls whatever the file names. Feature files need arrays, numbers,
strings and plain containers only, so this loader knows those and refuses every other name. Not even
numpy's own reconstructors run on what the file says (their `__setstate__` trusts flags and offsets that
can point anywhere in memory); arrays are described by stand-ins and built here, from checked parts.
"""

import math
import pickle
import re
import struct
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, BinaryIO

import numpy as np

from cmarr.budgets import reason, shown
from cmarr.errors import Unreadable, UserError
from cmarr.media.clips import require_whole
from cmarr.media.foreign import read_foreign

_DEEPEST = 50
_CODE = re.compile(r"(b1|[iu][1248]|f[248]|f16|c8|c16|[SU]\d+|\?|b|O8?)\Z")


_MOST_KEYS = 2_000
"""Keys of dictionaries and members of sets, in all, that are neither text nor ordinary numbers. Others can be made to
collide, so that each takes as long as there are others."""

_MOST_VALUES, _VALUES_A_BYTE = 1_000_000, 10
"""Values that lists may stand for, beside those for every byte of the file: a list in several places counts in each."""

_ORDINARY = 2**61 - 1
"""Whole numbers below this have hashes of their own."""


def load_pickle(path: str | Path) -> Any:
    """Load a pickle of numpy arrays, numbers, strings and plain containers; nothing in it is executed.

    It is read in another process within a budget. Arrays come back read-only. Raises UserError naming the first thing
    that a feature file has no need of (a function, a class, an object array of those), and for a file that is no
    pickle, or a part of one.
    """
    return read_foreign(unpickled, path)


def unpickled(path: Path) -> Any:
    """As `load_pickle`, in this process: for what itself runs within a budget."""
    require_whole(path)
    try:
        with path.open("rb") as opened:
            size = path.stat().st_size
            content = _resolve(_Restricted(path, _Bounded(opened, size)).load(), {}, 0)
        if _values(content, {}) > _MOST_VALUES + _VALUES_A_BYTE * size:
            raise ValueError(
                "lists in it hold one another, so that they stand for more values than memory does"
            )
        return content
    except (UserError, MemoryError):
        raise
    except OSError as error:
        raise Unreadable(f"{shown(path)} cannot be opened ({reason(error)}); check the path") from error
    except Exception as error:  # hostile bytes raise nearly every type there is
        raise Unreadable(
            f"{path} is not a whole, plain pickle ({reason(error)}); nothing in it was executed; "
            "fetch the file again or save it again as arrays, lists and dictionaries"
        ) from error


class _Bounded:
    """A file that refuses to read past its end, so that a false length allocates nothing."""

    def __init__(self, opened: BinaryIO, size: int) -> None:
        self._opened, self._size = opened, size

    def read(self, n: int) -> bytes:
        if n > self._size - self._opened.tell():
            raise EOFError("it is cut off, or a length in it is false")
        return self._opened.read(n)

    def readline(self) -> bytes:
        return self._opened.readline()


class _Maker:
    """A callable the pickle may call, without any attribute that it could set."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"it tries to set {name}")


class _Dtype:
    """Stands in for a numpy dtype: a plain number, string or object type."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _CODE.match(code):
            raise ValueError(f"it holds an array of type {code!r}")
        self._code, self._order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *structure = state[:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in structure):
            raise ValueError("it holds an array of records")
        self._order = order

    def build(self) -> np.dtype:
        return np.dtype(self._code if self._code.startswith("O") else self._order + self._code)


class _Array:
    """Stands in for an array until its parts are known."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: tuple[Any, ...] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, raw = state[-4:]
        self._parts = (shape, dtype, "F" if fortran else "C", raw)

    def build(self, seen: dict[int, Any], depth: int) -> np.ndarray:
        if self._parts is None:
            raise ValueError("it holds an array without contents")
        shape, dtype, order, raw = self._parts
        dtype = dtype.build()
        count = math.prod(shape)
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"it holds an array of shape {shape!r}")
        if dtype.hasobject:
            if not isinstance(raw, list) or len(raw) != count:
                raise ValueError(f"an object array of shape {shape} does not have {count} elements")
            array = np.empty(count, object)
            for i, element in enumerate(raw):
                array[i] = _resolve(element, seen, depth + 1)
        else:
            raw = raw.encode("latin1") if isinstance(raw, str) else raw  # protocol 2, written by Python 2
            if not isinstance(raw, bytes | bytearray) or len(raw) != count * dtype.itemsize:
                raise ValueError(f"an array of shape {shape} does not have {count * dtype.itemsize} bytes")
            array = np.frombuffer(raw, dtype) if raw else np.empty(0, dtype)
        array = array.reshape(shape, order=order)
        array.flags.writeable = False
        return array


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    if subtype is not _NDARRAY or shape != (0,):
        raise ValueError("it rebuilds something else than a plain array")
    return _Array()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.__setstate__((shape, dtype, order == "F", raw))
    return array


def _scalar(dtype: Any, raw: Any) -> Any:
    built = dtype.build()
    if built.hasobject or not isinstance(raw, bytes | str):
        raise ValueError("it holds an object as a numpy scalar")
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if len(raw) != built.itemsize:
        raise ValueError(f"a {built} has {len(raw)} bytes")
    return np.frombuffer(raw, built)[0] if raw else built.type()


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it encodes something as {encoding!r}")
    return text.encode("latin1")


def _empty_bytes(*args: Any) -> bytes:
    if args:
        raise ValueError("it makes bytes in an unusual way")
    return b""


def _byte_array(*args: Any) -> bytearray:
    if any(not isinstance(a, bytes) for a in args[:1]) or len(args) > 1:
        raise ValueError("it makes a byte array in an unusual way")
    return bytearray(*args)


Check = Callable[[Iterable[Any]], None]
"""Raises ValueError for what may not be keys."""


def _ordered(check: Check, *args: Any) -> dict[Any, Any]:
    pairs = args[0] if args else ()
    if not isinstance(pairs, list | tuple) or any(
        not isinstance(p, list | tuple) or len(p) != 2 for p in pairs
    ):
        raise ValueError("it makes a dictionary in an unusual way")
    check(key for key, _ in pairs)
    return dict(pairs)


def _set(check: Check, *args: Any) -> set[Any]:
    members = args[0] if args else ()
    if not isinstance(members, list | tuple):
        raise ValueError("it makes a set in an unusual way")
    check(members)
    return set(members)


def _frozenset(check: Check, *args: Any) -> frozenset[Any]:
    return frozenset(_set(check, *args))


def _require_small(key: Any) -> None:
    """Raise ValueError for what is no plain key, or is large: to be found it is gone through."""
    left, nodes = [(key, 0)], 0
    while left:
        part, depth = left.pop()
        nodes += 1
        if isinstance(part, tuple | frozenset) and nodes + len(part) <= _LARGEST_KEY and depth < _DEEPEST:
            left += [(inner, depth + 1) for inner in part]
        elif not isinstance(part, _PLAIN_KEYS):
            raise ValueError("it holds a function, an array or a large container as the key of a dictionary")


_LARGEST_KEY = 100
_PLAIN_KEYS = (str, bytes, int, float, complex, np.generic, NoneType)
_NDARRAY = object()
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_BUILTINS = ("builtins", "__builtin__")
_KNOWN: dict[tuple[str, str], Any] = {
    **{(m, "_reconstruct"): _reconstruct for m in _ARRAYS},
    **{(m, "scalar"): _scalar for m in _ARRAYS},
    **{(m, "_frombuffer"): _from_buffer for m in _NUMERIC},
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{(m, "bytes"): _empty_bytes for m in _BUILTINS},
    **{(m, "bytearray"): _byte_array for m in _BUILTINS},
}
_HASHING: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _ordered,
    **{(m, "set"): _set for m in _BUILTINS},
    **{(m, "frozenset"): _frozenset for m in _BUILTINS},
}
"""Those that look for keys, and are given what checks them."""


_KEYS = {
    pickle.SETITEM: slice(-2, -1),
    pickle.SETITEMS: slice(None, None, 2),
    pickle.DICT: slice(None, None, 2),
    pickle.ADDITEMS: slice(None),
    pickle.FROZENSET: slice(None),
}
"""What hashes something -> which of the stack that is."""


def _checking(code: int, keys: slice) -> Any:
    """What unpickling does at a code, the keys checked before."""

    def load(unpickler: Any) -> None:
        unpickler._checked(unpickler.stack[keys])
        pickle._Unpickler.dispatch[code](unpickler)

    return load


# The Python implementation, not the C one: there a false memo index alone takes tens of gigabytes, and
# feature files have few, large items, so that the interpreter is no slower at reading them.
class _Restricted(pickle._Unpickler):
    def __init__(self, path: Path, source: _Bounded) -> None:
        super().__init__(source, encoding="latin1")
        self._path = path
        self._keys = 0

    def _read_bytearray(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.append(bytearray(self.read(length)))  # type: ignore[attr-defined]

    def _checked(self, keys: Iterable[Any]) -> None:
        for key in keys:
            kind = type(key)
            if kind in (str, bytes, float) or (kind is int and abs(key) < _ORDINARY):
                continue
            self._keys += 1
            if self._keys > _MOST_KEYS:
                raise ValueError(f"more than {_MOST_KEYS} keys in it are neither text nor ordinary numbers")
            _require_small(key)

    # the original fills memory with zeros for whatever length the file claims, and reads then
    dispatch = {  # noqa: RUF012
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: _read_bytearray,  # type: ignore[dict-item]
        **{code[0]: _checking(code[0], keys) for code, keys in _KEYS.items()},
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _HASHING:
            return _Maker(partial(_HASHING[module, name], self._checked))
        known = _KNOWN.get((module, name))
        if known is None:
            raise UserError(
                f"{self._path}: the pickle asks for {shown(f'{module}.{name}')}, which no feature file needs; it was "
                "refused and nothing was executed; take a file from a source you trust, or save it again "
                "as numpy arrays, lists and dictionaries"
            )
        return known if known is _NDARRAY else _Maker(known)


def _resolve(value: Any, seen: dict[int, Any], depth: int) -> Any:
    """Replace the stand-ins by arrays, wherever they are; what is shared or cyclic is visited once."""
    if isinstance(value, str | bytes | bytearray | int | float | complex | np.generic | None):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if depth > _DEEPEST:
        raise ValueError(f"containers lie more than {_DEEPEST} deep in it")
    if isinstance(value, _Array):
        seen[id(value)] = None  # an array that contains itself
        seen[id(value)] = value.build(seen, depth)
    elif isinstance(value, dict):
        seen[id(value)] = value
        for key in value:
            value[_plain(key)] = _resolve(value[key], seen, depth + 1)
    elif isinstance(value, list):
        seen[id(value)] = value
        value[:] = [_resolve(element, seen, depth + 1) for element in value]
    elif isinstance(value, tuple):
        seen[id(value)] = tuple(_resolve(element, seen, depth + 1) for element in value)
    elif isinstance(value, set | frozenset):
        seen[id(value)] = type(value)(_plain(element) for element in value)
    else:
        raise ValueError("it holds a function or a type where data should be")
    return seen[id(value)]


def _values(value: Any, counted: dict[int, float]) -> float:
    """How many values there are where lists are gone through as often as they stand; infinite for one within itself."""
    inner: Iterable[Any]
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        inner = value.flat
    elif isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    else:
        return 1
    if id(value) not in counted:
        counted[id(value)] = math.inf
        counted[id(value)] = sum(_values(part, counted) for part in inner)
    return counted[id(value)]


def _plain(key: Any) -> Any:
    if isinstance(key, tuple | frozenset):
        return type(key)(_plain(part) for part in key)
    if not isinstance(key, str | bytes | int | float | complex | np.generic | None):
        raise ValueError("it holds a function or an array as the key of a dictionary")
    return key
