"""Which methods, encoders and readers of corpora there are: the product's own, and those that a user brings.

A file becomes one by a line at its end, such as `METHOD = Average`; its name is that of the file. The product's own are
found by that line, and imported only when they are asked for. A user's stand in a file or an importable module that
`plugins` in params.yaml names, or that an installed package declares as an entry point (groups `cmarr.methods`,
`cmarr.encoders`, `cmarr.readers`). The environment variable CMARR_PLUGINS names them where there is no params.yaml, and
tells the processes that this one starts.
"""

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import cmarr
from cmarr.budgets import expanded, real
from cmarr.declaration import Section
from cmarr.errors import UserError, require_known
from cmarr.modalities import NAMES

VARIABLE = "CMARR_PLUGINS"


@dataclass(frozen=True)
class Kind:
    """One of the things that can be added: `marker` is the line that makes a file one, `package` where ours lie."""

    what: str
    marker: str
    package: str
    group: str

    def marked(self, text: str) -> str | None:
        """What the marker line of a source text assigns; None without one."""
        found = re.search(rf"^{self.marker} = (.+?)(?:  #.*)?$", text, re.MULTILINE)
        return found[1] if found else None


METHODS = Kind("method", "METHOD", "cmarr.methods", "cmarr.methods")
ENCODERS = Kind("encoder", "ENCODER", "cmarr.encoders", "cmarr.encoders")
READERS = Kind("kind of corpus", "READER", "cmarr.corpora", "cmarr.readers")
KINDS = (METHODS, ENCODERS, READERS)


@dataclass(frozen=True)
class Found:
    """Where something stands: the module to import and its file."""

    module: str
    file: Path


def names(kind: Kind) -> tuple[str, ...]:
    """Every name of a kind: ours first, then the user's."""
    return tuple(_all(kind, _given()))


def own_names(kind: Kind) -> tuple[str, ...]:
    """The names of the product's own."""
    return tuple(_built_in(kind))


def file_of(kind: Kind, name: str, key: str = "") -> Path:
    """The file that something stands in. Raises UserError for an unknown name."""
    return _found(kind, name, key).file


def start_of(kind: Kind, name: str) -> str | Path:
    """Where `cmarr.code_digest` begins with it: its module, or its file where `plugins` names that.

    Raises UserError for an unknown name.
    """
    found = _found(kind, name, "")
    return found.file if str(found.file) in _given() else found.module


def module_of(kind: Kind, name: str, key: str = "") -> ModuleType:
    """The module that something stands in, imported. `key`: of params.yaml, for the message.

    Raises UserError for an unknown name, with the nearest known one, and for a plugin that cannot be imported.
    """
    found = _found(kind, name, key)
    if name in _built_in(kind):
        return importlib.import_module(found.module)
    if str(found.file) in _given() and (folder := str(found.file.parent)) not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(found.module)
    except Exception as error:
        raise UserError(
            f"plugins: {found.file} cannot be imported ({type(error).__name__}: {error}); mend it, or take it out of "
            "plugins"
        ) from error
    if Path(module.__file__ or "").resolve() != found.file.resolve():
        raise UserError(
            f"plugins: {found.file}: another module is called {found.module} ({module.__file__}); give the file "
            "another name"
        )
    if lacks := _lacks(kind, module):
        raise UserError(f"plugins: {found.file} {lacks}")
    return module


def _lacks(kind: Kind, module: ModuleType) -> str:
    """What a plugin has not, of what everybody asks of its kind, as the end of a sentence; empty if nothing."""
    if not hasattr(module, kind.marker):
        return f"assigns no {kind.marker} when it is imported; put the line at its end, not into a text"
    if kind is READERS:
        return (
            ""
            if callable(getattr(module, "read", None))
            else "has no function read(root); a reader needs one"
        )
    made = getattr(module, kind.marker)
    if not isinstance(made, type):
        return f"assigns {made!r} to {kind.marker}; assign the class"
    for one in filter(None, (made, getattr(made, "first_stage", None))):
        if not issubclass(getattr(one, "Settings", object), Section):
            return (
                f"has no `class Settings(Section)` in {one.__name__}; write one, without keys if it has none"
            )
    needed = ("encode", "describe") if kind is ENCODERS else ("predict",)
    if kind is METHODS and not hasattr(made, "fit"):
        needed = ("training_losses", "predict")
    for name in needed:
        if not callable(getattr(made, name, None)):
            return f"has no function {name} in {made.__name__}; {kind.what}s need one"
    if kind is ENCODERS and getattr(made, "modality", None) not in NAMES:
        return f"has no modality in {made.__name__}; write modality = 's' (speech), 'v' (video) or 't' (text)"
    return ""


def load(kind: Kind, name: str, key: str = "") -> Any:
    """What the marker line of a file assigns, such as the class of a method. Raises UserError as `module_of` does."""
    return getattr(module_of(kind, name, key), kind.marker)


def use(plugins: Sequence[str], folder: str | Path = ".") -> None:
    """From now on know these plugins, here and in the processes that this one starts.

    plugins: files, absolute or relative to `folder`, or importable modules, instead of those of the last call.
    Raises UserError for one that is not there, is none of the kinds, or has a name that is taken.
    """
    given = [str(real(Path(folder, expanded(p)))) if is_file(p) else p for p in plugins]
    for plugin in given:
        if os.pathsep in plugin:
            raise UserError(f"plugins: {plugin} has a {os.pathsep!r} in its path; give it another place")
    given = list(dict.fromkeys([*_OUTER, *given]))
    for kind in KINDS:
        _all(kind, tuple(given))
    os.environ[VARIABLE] = os.pathsep.join(given)


def _given() -> tuple[str, ...]:
    named = filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    return tuple(str(real(expanded(plugin))) if is_file(plugin) else plugin for plugin in named)


def is_file(plugin: str) -> bool:
    """Whether a plugin is named by its file, not as a module."""
    return plugin.endswith(".py") or "/" in plugin or os.sep in plugin


def _found(kind: Kind, name: str, key: str) -> Found:
    known = _all(kind, _given())
    place, article = key or f"{kind.marker.lower()}s", "an" if kind is ENCODERS else "a"
    there = f"there are {', '.join(known)}, and what plugins in params.yaml or {VARIABLE} names"
    require_known(name, known, f"{place}: {name!r} is not {article} {kind.what}; {there}")
    return known[name]


@cache
def _built_in(kind: Kind) -> dict[str, Found]:
    folder = Path(cmarr.__file__).parent
    found = {}
    for path in sorted(folder.joinpath(*kind.package.split(".")[1:]).rglob("*.py")):
        if marked := kind.marked(path.read_text(encoding="utf-8")):
            module = ".".join(("cmarr", *path.relative_to(folder).with_suffix("").parts))
            found[_name(marked, module)] = Found(module, path)
    return found


def _name(marked: str, module: str) -> str:
    """A line that assigns a text gives the name itself; else it is that of the file."""
    return marked.strip("\"'") if marked[0] in "\"'" else module.rpartition(".")[2]


@cache
def _all(kind: Kind, given: tuple[str, ...]) -> dict[str, Found]:
    found = dict(_built_in(kind))
    for plugin in given:
        file = _file_of_plugin(plugin)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(
                f"plugins: {file} cannot be read ({error}); it must be Python, in UTF-8"
            ) from error
        if not any(k.marked(text) for k in KINDS):
            lines = ", ".join(f"{k.marker} = ..." for k in KINDS)
            raise UserError(
                f"plugins: {plugin} has none of the lines {lines}; write the one that says what it is"
            )
        if marked := kind.marked(text):
            module = file.stem if is_file(plugin) else plugin
            _add(found, kind, _name(marked, module), module, file, plugin)
    for entry in entry_points(group=kind.group):
        source = f"the entry point {entry.name}"
        if place := _file_of_module(entry.module, source):
            _add(found, kind, entry.name, entry.module, place, source)
    return found


def _add(found: dict[str, Found], kind: Kind, name: str, module: str, file: Path, source: str) -> None:
    if name in found and found[name].file.resolve() == file.resolve():
        return
    if name in found:
        raise UserError(
            f"plugins: {source}: there is a{'n' if kind is ENCODERS else ''} {kind.what} {name!r} already "
            f"({found[name].file}); give it another name"
        )
    if not (name.isidentifier() and name.isascii()):
        raise UserError(f"plugins: {source}: {name!r} names files and stages; use letters, digits and '_'")
    if name.startswith("_") or name in NAMES.values() or hasattr(Section, name):
        raise UserError(
            f"plugins: {source}: {name!r} cannot name a section of params.yaml; give it another name"
        )
    found[name] = Found(module, file)


def _file_of_plugin(plugin: str) -> Path:
    if is_file(plugin):
        if not Path(plugin).is_file():
            raise UserError(f"plugins: {plugin} does not exist; give the file, relative to params.yaml")
        return Path(plugin)
    if (found := _file_of_module(plugin, plugin)) is None:
        raise UserError(
            f"plugins: there is no module {plugin!r} here; install it, or name its file, ending in .py"
        )
    return found


def _file_of_module(module: str, source: str) -> Path | None:
    """The Python file of an importable module; None without one. Raises UserError if its package does not import."""
    try:
        spec = None if module.startswith(".") else importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return None
    except Exception as error:
        raise UserError(
            f"plugins: {source}: the package of {module} cannot be imported ({type(error).__name__}: {error}); mend "
            "it, or remove it"
        ) from error
    if not (spec and spec.origin and spec.has_location):
        return None
    if not spec.origin.endswith(".py"):
        raise UserError(f"plugins: {source}: {module} is no Python file ({spec.origin}); name another module")
    return Path(spec.origin)


_OUTER = _given()
"""What was in the environment when this process began."""
