"""From params.yaml and a preset to validated settings, with errors that name the key."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_origin

from ruamel.yaml.error import YAMLError

from cmarr import plugins
from cmarr.budgets import read_content, reason, shown
from cmarr.declaration import MACHINE
from cmarr.encoders.at_hand import chosen
from cmarr.errors import UserError, require_known
from cmarr.settings.declared import settings_model
from cmarr.settings.schema import Settings
from cmarr.settings.yaml_file import LARGEST, loaded
from cmarr.validation import field_at, refuse_unknown_keys, refuse_what_json_lacks, validate

NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
"""What a dataset may be called."""

AUTO = "auto"
"""Value of a key that leaves its choice to the preset."""

ADDED = "+"
"""Stands between a preset and those that are laid over it."""


def load_settings(
    params: str | Path,
    presets: str | Path,
    dataset: str | None = None,
    *,
    find: Callable[[str], Path] | None = None,
    over: Mapping[str, Any] | None = None,
) -> Settings:
    """Read params.yaml, fill the keys left at 'auto' from the preset or as they are declared, validate.

    dataset: as if that stood there: another dataset may bring another preset
    find:    where a file lies that a setting names; by default, relative to params.yaml
    over:    values that take the place of those in params.yaml, nested as they are there

    What the user typed always wins: a preset gives a value only to a key that says 'auto'. Where an encoder is the
    `best`, the settings name the one that this machine has. From now on this process knows the plugins that params.yaml
    names.

    Raises:
        UserError: a file that is not YAML, an unknown key (with the nearest valid one), a wrong type
            or range, a dataset or preset that does not exist, a key left without a value.
    """
    raw = merge(read_yaml(params), over or {})
    for key, kind in (("dataset", str), ("preset", str), ("datasets", Mapping)):
        if key not in raw:
            raise UserError(f"{params}: the key {key!r} is missing")
        if not isinstance(raw[key], kind):
            wanted = "a name" if kind is str else "a section"
            raise UserError(f"{params}: {key}: must be {wanted}, not {raw[key]!r}")
    use_plugins(raw, params, find)
    model = settings_model()
    # Before the preset is filled in: a misspelled key would otherwise surface as a preset's fault.
    refuse_unknown_keys(model, raw, str(params))
    raw["dataset"] = name = dataset or raw["dataset"]
    for known in (name, *raw["datasets"]):
        # The name becomes a folder and a word of a command.
        if not isinstance(known, str) or not re.fullmatch(NAME, known):
            raise UserError(f"{params}: {known!r} cannot name a dataset; take letters, digits, _ and -")
    require_known(name, raw["datasets"], f"{params}: dataset: {name!r} has no section under 'datasets'")
    preset, *more = raw["preset"].split(ADDED)
    if preset == AUTO:
        section = raw["datasets"][name]
        preset = section.get("preset") if isinstance(section, Mapping) else None
        if not isinstance(preset, str):
            raise UserError(f"{params}: datasets.{name}.preset must name a preset")
    preset = ADDED.join((preset, *more))
    filled = _fill(raw, read_preset(preset, presets), str(params), preset)
    if isinstance(filled.get("encoders"), Mapping):
        filled["encoders"] = chosen(filled["encoders"], Path(params).parent)
    return validate(model, {**filled, "preset": preset}, str(params))


def use_plugins(
    raw: Mapping[str, Any], params: str | Path, find: Callable[[str], Path] | None = None
) -> None:
    """Know the plugins that the values of a params.yaml name. Raises UserError for what is no list, or is not there."""
    named = raw.get("plugins", [])
    if not isinstance(named, list) or not all(isinstance(plugin, str) for plugin in named):
        raise UserError(f"{params}: plugins: must be a list of files and modules, not {named!r}")
    plugins.use([str(find(p)) if find and plugins.is_file(p) else p for p in named], Path(params).parent)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML 1.2 file as plain containers (`1e-4` is a number).

    Raises UserError if it cannot be read, is far larger than settings are, or holds what JSON lacks (a date, infinity,
    a set).
    """
    content = read_content(path, LARGEST, "a file of settings")
    try:
        found = loaded(content)
    except YAMLError as error:
        told = " ".join(str(error).split()).replace('in "<byte string>", ', "in ")
        raise UserError(f"{shown(path)}: is not valid YAML: {told}") from error
    except Exception as error:  # of values that are none: a number, a date, a key that is a list
        raise UserError(f"{shown(path)}: is not valid YAML: {reason(error)}; correct it") from error
    if not isinstance(found, dict):
        raise UserError(f"{shown(path)}: must hold keys and values")
    refuse_what_json_lacks(found, str(path))
    return found


def read_preset(name: str, folder: str | Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A preset's overrides, those of the preset it names under 'base' filled in beneath.

    Of one that is added behind a '+' only its own are taken, over those before it, and not its base's.

    Raises UserError for a preset that does not exist, or that is its own base; `above`: those it is the base of.
    """
    name, *more = name.split(ADDED)
    if name in above:
        raise UserError(f"preset: {' -> '.join((*above, name))}: a preset cannot be its own base")
    overrides = _own(name, folder)
    base = overrides.pop("base", None)
    if base:
        overrides = merge(read_preset(base, folder, (*above, name)), overrides)
    for added in more:
        overrides = merge(overrides, {k: v for k, v in _own(added, folder).items() if k != "base"})
    return overrides


def _own(name: str, folder: str | Path) -> dict[str, Any]:
    known = sorted(path.stem for path in Path(folder).glob("*.yaml"))
    require_known(name, known, f"preset: {name!r} is not one of {', '.join(known)} (files in {folder}/)")
    return read_yaml(Path(folder) / f"{name}.yaml")


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries joined; where both hold a value, `over` wins."""
    out = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def _fill(raw: Mapping[str, Any], preset: Mapping[str, Any], source: str, name: str) -> dict[str, Any]:
    known = {path[:k] for path, _ in leaves(raw) for k in range(1, len(path) + 1)}
    methods = raw.get("method")
    for path, _ in leaves(preset):
        # A params.yaml of before a method was there has no section of it: that method is as it is declared.
        younger = path[0] == "method" and isinstance(methods, Mapping) and path[1] not in methods
        if path not in known and not younger and not _within_a_value(path):
            raise UserError(
                f"{source}: the key {'.'.join(path)!r} is missing; preset {name!r} has a value for it"
            )
    return _fill_level(raw, preset, (), source, name)


def _within_a_value(path: tuple[str, ...]) -> bool:
    """Whether the key above is one value that may be written as a section, as a rate of each modality is."""
    field = field_at(settings_model(), path[:-1])
    return field is not None and get_origin(field.annotation) in (Union, UnionType)


def _fill_level(
    raw: Mapping[str, Any], preset: Mapping[str, Any], path: tuple[str, ...], source: str, name: str
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in raw.items():
        here = (*path, key)
        given = preset.get(key)
        if isinstance(value, Mapping) and value:
            below = given if isinstance(given, Mapping) else {}
            out[key] = _fill_level(value, below, here, source, name)
        elif value == AUTO and not (
            (field := field_at(settings_model(), here)) and MACHINE in field.metadata
        ):
            if given is not None:
                out[key] = given
            elif field is None or field.is_required():
                raise UserError(
                    f"{source}: {'.'.join(here)} is 'auto', but preset {name!r} gives no value; write one"
                )
        else:
            out[key] = value
    return out


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The keys of nested sections, from above, each with its value."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value
