"""params.yaml's comments about methods and encoders, and docs/settings.md, from the declarations: `make format`."""

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from cmarr.encoders.registry import encoder_class
from cmarr.methods.registry import method_class
from cmarr.plugins import METHODS, READERS, module_of, own_names
from cmarr.settings.declared import method_section, objective, selectable
from cmarr.settings.load import read_yaml

ROOT = Path(__file__).parents[1]
PARAMS, PAGE = ROOT / "params.yaml", ROOT / "docs/settings.md"
WIDTH = 124
COLUMN = {"encoders": 20, "method": 24}
"""Where comments begin."""
INTRODUCTION = """Each is declared once, in the file of what has it; `make format` writes this page. A value typed in
`params.yaml`, or by `-S`, wins over a preset, and a preset over the default. Every method that is trained by gradient
descent has, besides, `train`: keys of the section `train` that are its own."""
KEY = re.compile(r"^(?P<indent> {2,})(?P<key>\w+):(?P<value> [^#]*?)? *(?P<comment>#.*)?$")
MORE = re.compile(r"^ {20,}#")
"""A line that goes on with the comment of the line above it."""


def declared() -> dict[tuple[str, ...], FieldInfo]:
    """Path of a key in params.yaml -> the field that declares it."""
    found: dict[tuple[str, ...], FieldInfo] = {}
    for name in selectable():
        found |= {("encoders", name, key): f for key, f in encoder_class(name).Settings.model_fields.items()}
    for name in own_names(METHODS):
        fields = method_section(name).model_fields
        found |= {("method", name, key): field for key, field in fields.items()}
        if "first_stage" in fields:
            below = fields["first_stage"].annotation.model_fields
            found |= {("method", name, "first_stage", key): field for key, field in below.items()}
    return {path: field for path, field in found.items() if field.description}


def values(field: FieldInfo) -> str:
    """What a setting may be: its choices, or its range."""
    bounds = {
        annotated_types.Ge: ">=",
        annotated_types.Gt: ">",
        annotated_types.Le: "<=",
        annotated_types.Lt: "<",
    }
    told = [
        f"{sign} {getattr(bound, type(bound).__name__.lower()):g}"
        for bound in field.metadata
        for kind, sign in bounds.items()
        if isinstance(bound, kind)
    ]
    return ", ".join(told) or _choices(field.annotation)


def _choices(annotation: Any) -> str:
    if annotation is bool:
        return "true, false"
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is None:
        return {str: "text", int: "whole number", float: "number"}.get(annotation, "")
    return ", ".join(filter(None, map(_choices, get_args(annotation))))


def by_preset(path: tuple[str, ...], default: Any) -> str:
    """The declared value of a key that presets set, and what those give it that give another; else nothing."""
    told, known = [], False
    for preset, section in _presets().items():
        for part in path:
            section = section.get(part) if isinstance(section, dict) else None
        if section is not None and not isinstance(section, dict):
            known = True
            told += [f"{preset} {_shown(section)}"] if section != default else []
    return ", ".join([_shown(default), *told]) if known else ""


@cache
def _presets() -> dict[str, Any]:
    return {path.stem: read_yaml(path) for path in sorted((ROOT / "presets").glob("*.yaml"))}


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def with_comments(text: str) -> str:
    """The text of params.yaml with the comment of every declared key as it is declared."""
    fields, lines, out = declared(), text.split("\n"), list[str]()
    above: list[tuple[int, str]] = []
    first: dict[tuple[str, str, str], str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        top = re.match(r"^(\w+):", line)
        if top:
            above = [(0, top[1])]
        found = KEY.match(line)
        if not found or not above or above[0][1] not in ("method", "encoders"):
            out.append(line)
            continue
        indent = len(found["indent"])
        above = [entry for entry in above if entry[0] < indent] + [(indent, found["key"])]
        path = tuple(key for _, key in above)
        field = fields.get(path)
        if field is None:
            out.append(line)
            continue
        while at < len(lines) and MORE.match(lines[at]):
            at += 1
        told = _told(path, field, first)
        out += _commented(f"{found['indent']}{found['key']}: {found['value'].strip()}", told, COLUMN[path[0]])
    return "\n".join(out)


def _told(path: tuple[str, ...], field: FieldInfo, first: dict[Any, str]) -> str:
    meaning = field.description or ""
    known = first.setdefault((path[0], path[-1], meaning), path[1])
    if known != path[1]:
        meaning = f"as in {known}"
    elif values(field).startswith((">", "<")) and not re.search(r"[<>]|\d to ", meaning):
        meaning += f"; {values(field)}"
    presets = by_preset(path, field.default)
    return f"{meaning}. {presets}" if presets else meaning


def _commented(start: str, told: str, column: int) -> list[str]:
    start, indent = f"{start:<{column - 1}} # ", " " * column + "# "
    head, *more = _wrapped(told, WIDTH - len(start))
    return [start + head, *(indent + part for part in _wrapped(" ".join(more), WIDTH - len(indent)))]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def page() -> str:
    """docs/settings.md: a table of what each method, encoder and reader of a corpus declares."""
    parts = [
        "# Settings of methods, encoders and readers",
        INTRODUCTION,
    ]
    for name in own_names(METHODS):
        made = method_class(name)
        parts += [f"## `method.{name}`", _sentence(made.Settings)]
        weights = objective(name)
        rows = {key: made.Settings.model_fields[own] for key, own in weights.items()}
        section = method_section(name).model_fields
        rows |= {key: field for key, field in section.items() if field.description}
        parts.append(_table(rows))
        if weights:
            parts.append(f"{', '.join(f'`{key}`' for key in weights)} stand at the top of `params.yaml`.")
        if "first_stage" in section:
            below = section["first_stage"].annotation.model_fields
            rows = {f"first_stage.{key}": field for key, field in below.items() if field.description}
            parts.append(_table(rows))
    for name in selectable():
        own = encoder_class(name).Settings
        parts += [f"## `encoders.{name}`", _sentence(own), _table(own.model_fields)]
    for kind in own_names(READERS):
        if own := getattr(module_of(READERS, kind), "Options", None):
            title = f"## `datasets.<name>.options` with `kind: {kind}`"
            parts += [title, _sentence(own), _table(own.model_fields)]
    return "\n\n".join(parts) + "\n"


def _sentence(section: Any) -> str:
    text = " ".join((section.__doc__ or "").split())
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _table(rows: dict[str, FieldInfo]) -> str:
    lines = ["| key | default | values | meaning |", "|---|---|---|---|"]
    for key, field in rows.items():
        shown = f"`{_shown(field.default)}`" if field.default not in ("", None) else ""
        cells = (f"`{key}`", shown, values(field), field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    PARAMS.write_text(with_comments(PARAMS.read_text(encoding="utf-8")), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
