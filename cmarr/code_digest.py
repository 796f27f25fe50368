"""What code a piece of work depends on, read from the code: the closure of its imports, and a digest over that.

Nothing is imported to find it. An import counts wherever it stands, in a function, too; what only a type checker sees
does not. Modules that are looked up by a name at run time (a method, an encoder, a reader) nobody can see in the
code: whoever knows the name gives it as one more start.
"""

import ast
import gc
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cmarr.errors import UserError
from cmarr.files import digest, file_digest

ROOT = Path(__file__).parents[1]
"""Folder of the packages `cmarr` and, in a project, `stages`."""

OWN = ("cmarr", "stages")
"""Packages whose imports are followed; besides these, only that of a start: libraries are no part of the product."""

Start = str | Path
"""The dotted name of a module; or the file of one that belongs to no package, and may import what lies beside it."""


def code_digest(*starts: Start, idle: bool = False) -> str:
    """SHA-256 (hex) of all that running these modules may run: equal as long as no edit but of prose was made.

    Comments, docstrings, layout and the place of the files do not enter. Files beside a module that it finds through
    `__file__` do, to the byte. `idle`: see `closure`.
    """
    modules = closure(*starts, idle=idle)
    parts = [(name, _said(path, _stamp(path)).meaning) for name, path in modules.items()]
    parts += [
        (f"{name}/{found.relative_to(path.parent)}", _content(found, _stamp(found)))
        for name, path in modules.items()
        for found in beside(path)
    ]
    return digest(sorted(parts))


@cache
def package_digest() -> str:
    """That of all files of the package `cmarr`, as they are on the first call: do two processes run the same code?"""
    files = [p for p in (ROOT / "cmarr").rglob("*") if p.is_file() and p.parent.name != "__pycache__"]
    return digest(sorted((str(path.relative_to(ROOT)), file_digest(path)) for path in files))


def closure(*starts: Start, idle: bool = False) -> dict[str, Path]:
    """Dotted name -> file of all modules that `starts` import, directly or not, and their packages; `starts` as well.

    With `idle` those alone that are imported before any function runs: what a stage that finds nothing to do uses.
    Raises ModuleNotFoundError for a start that is not there, and UserError for a file that is not Python.
    """
    files = [start for start in starts if isinstance(start, Path)]
    folders = _Folders(dict.fromkeys(OWN, ROOT), tuple(dict.fromkeys(file.parent for file in files)))
    for start in starts:
        if isinstance(start, str) and _top(start) not in folders.of:
            folders.of[_top(start)] = _folder(_top(start))
    found = {file.stem: file for file in files}
    waiting = [name for path in files for name in _imports(path, _stamp(path), "", idle)]
    for start in starts:
        if isinstance(start, str):
            if not (there := _files(start, folders)) or start not in there:
                raise ModuleNotFoundError(f"no module is called {start}")
            waiting.append(start)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for own, path in _files(name, folders).items():
            if own not in found:
                found[own] = path
                package = own if path.name == "__init__.py" else own.rpartition(".")[0]
                waiting += _imports(path, _stamp(path), package, idle)
    return found


def imports(module: str) -> set[str]:
    """Dotted names of the product's modules that one of them imports itself; no packages."""
    folders = _Folders(dict.fromkeys(OWN, ROOT), ())
    path = _files(module, folders)[module]
    names = _imports(path, _stamp(path), module.rpartition(".")[0], False)
    found = (next(reversed(files), "") for name in names if (files := _files(name, folders)))
    return {name for name in found if _files(name, folders)[name].name != "__init__.py"}


def beside(path: Path) -> list[Path]:
    """What a module reads that is no Python: files beside it, or below a folder there, that it names and finds
    through `__file__`."""
    return [
        found
        for name in _said(path, _stamp(path)).named
        for place in [path.parent / name]
        if place.exists()
        for found in ([place] if place.is_file() else sorted(place.rglob("*")))
        if found.is_file() and found.suffix not in (".py", ".pyc")
    ]


@dataclass(frozen=True)
class _Folders:
    """Where packages lie whose imports are followed, by name, and folders of which everything is."""

    of: dict[str, Path]
    whole: tuple[Path, ...]

    def holding(self, package: str) -> Path | None:
        return self.of.get(package) or next((f for f in self.whole if _holds(f, package)), None)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _holds(folder: Path, package: str) -> bool:
    return (folder / package).is_dir() or (folder / f"{package}.py").is_file()


def _folder(package: str) -> Path:
    """Where a package or module of this name would be imported from; none of its code is run."""
    for folder in (ROOT, *map(Path, sys.path)):
        if _holds(folder, package):
            return folder
    raise ModuleNotFoundError(f"no module is called {package}")


def _files(module: str, folders: _Folders) -> dict[str, Path]:
    """The files that importing `module` runs, by name: those of its packages, and its own."""
    folder = folders.holding(_top(module))
    if folder is None:
        return {}
    parts, found = module.split("."), dict[str, Path]()
    for n in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:n])
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                found[".".join(parts[:n])] = path
                break
    return found


def _stamp(path: Path) -> tuple[int, int]:
    """Tells whether a file is still the one that was read: a process may outlive an edit."""
    now = os.stat(path)  # noqa: PTH116 - a thousand times in a run
    return now.st_mtime_ns, now.st_size


class Said(NamedTuple):
    """What a file of code says: its meaning as a digest, the text constants of one that looks for files beside itself,
    and its import statements, all of them and those that run at once: level, module, names."""

    meaning: str
    named: list[str]
    imports: list[list[Any]]
    at_once: list[list[Any]]


KNOWN: dict[str, Said] = {}
"""SHA-256 of a file's content -> what it says, of all that were asked for."""

EARLIER: dict[str, Said] = {}
"""The same of an earlier process: reading takes a hundred times as long as the digest of the content."""


@cache
def _said(path: Path, stamp: tuple[int, int]) -> Said:
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    if key not in KNOWN:
        KNOWN[key] = EARLIER.pop(key) if key in EARLIER else _read(content, path)
    return KNOWN[key]


def _read(content: bytes, path: Path) -> Said:
    collects = gc.isenabled()
    gc.disable()  # a syntax tree is thousands of objects: looking for garbage takes longer than making them
    try:
        tree = ast.parse(content, str(path))
        meaning = hashlib.sha256(repr(_shape(tree)).encode()).hexdigest()
        named = _named(tree) if b"__file__" in content else []
        return Said(meaning, named, _statements(tree, False), _statements(tree, True))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path}: is not Python ({error}); mend it") from error
    finally:
        if collects:
            gc.enable()


@cache
def _imports(path: Path, stamp: tuple[int, int], package: str, idle: bool) -> frozenset[str]:
    """Names of all modules that a file of `package` names in an import statement. They may be names in a module."""
    said, names = _said(path, stamp), set[str]()
    for level, module, imported in said.at_once if idle else said.imports:
        if not (level or module):
            names.update(imported)
            continue
        parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
        base = ".".join([*parents, *([module] if module else [])])
        names |= {base} | {f"{base}.{name}" for name in imported}
    return frozenset(names)


def _statements(tree: ast.Module, idle: bool) -> list[list[Any]]:
    return [
        [getattr(node, "level", 0), getattr(node, "module", None), [alias.name for alias in node.names]]
        for node in _run(tree, idle)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)


def _run(node: ast.AST, idle: bool) -> Iterator[ast.AST]:
    """The statements that run of a tree: not what stands under TYPE_CHECKING, nor what a package hands out only when
    asked. With `idle` no function's body either.
    """
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        for other in node.orelse:
            yield from _run(other, idle)
        return
    if isinstance(node, ast.FunctionDef) and (
        idle or (node.name == "__getattr__" and len(node.args.args) == 1)
    ):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, STATEMENTS):  # an expression holds none
            yield from _run(child, idle)


def _named(tree: ast.Module) -> list[str]:
    nodes = list(ast.walk(tree))
    if not any(isinstance(node, ast.Name) and node.id == "__file__" for node in nodes):
        return []
    texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return sorted(
        text for text in texts if text and len(text) < 100 and text.isprintable() and text[0] not in "./"
    )


@cache
def _content(path: Path, stamp: tuple[int, int]) -> str:
    return file_digest(path)


MEANING = "setting"
"""The function of `cmarr.declaration` whose second argument says in prose what a setting means."""

UNSAID = ("ctx", "kind", "type_comment", "type_ignores")
"""Fields of a syntax tree that say nothing about what it does, or say it again."""


def _shape(value: Any) -> Any:
    """A syntax tree as plain tuples, without docstrings, positions, and what a version of Python adds empty."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == MEANING:
        value = ast.Call(value.func, [*value.args[:1], *value.args[2:]], value.keywords)
    if isinstance(value, ast.AST):
        fields = ((field, getattr(value, field, None)) for field in value._fields if field not in UNSAID)
        return (
            type(value).__name__,
            *((field, shape) for field, v in fields if v is not None and (shape := _shape(v)) != ()),
        )
    if isinstance(value, list):
        return tuple(_shape(item) for item in value if not _prose(item))
    return value


def _prose(statement: Any) -> bool:
    """A text that stands for itself: a docstring, of whatever."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
