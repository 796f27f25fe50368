"""Values against a model of what they may be; whatever is wrong becomes a sentence that names its key."""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cmarr.budgets import shown
from cmarr.errors import UserError, did_you_mean, many

M = TypeVar("M", bound=BaseModel)

_ALTERNATIVES = ("literal[", "constrained-", "tuple[", "dict[", "[key]", "function-")
_START = "input should be "


def validate(model: type[M], values: Mapping[str, Any], source: str) -> M:
    """Validate `values` against a model; every problem becomes one line that names its key.

    Raises UserError, its lines beginning with `source`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = sorted({_sentence(model, problem) for problem in _by_key(error.errors())})
        raise UserError("\n".join(f"{source}: {line}" for line in lines)) from None


def refuse_unknown_keys(model: type[BaseModel], values: Mapping[str, Any], source: str) -> None:
    """Raise UserError for the keys that a model does not have, whatever else is wrong or still left open."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(model, p) for p in error.errors() if p["type"] == "extra_forbidden"]
        if lines:
            raise UserError("\n".join(f"{source}: {line}" for line in lines)) from None


def refuse_what_json_lacks(values: Mapping[str, Any], source: str) -> None:
    """Raise UserError for what YAML knows and a settings file, which is JSON, cannot hold: dates, sets, infinity."""
    lines = [f"{source}: {line}" for line in _odd(values, (), ())]
    if lines:
        raise UserError("\n".join(lines))


def _odd(value: Any, path: tuple[str, ...], above: tuple[int, ...]) -> Iterator[str]:
    key = ".".join(path)
    if id(value) in above:
        yield f"{key}: holds itself"
    elif isinstance(value, Mapping):
        for name, below in value.items():
            if isinstance(name, str):
                yield from _odd(below, (*path, name), (*above, id(value)))
            else:
                place = f"{key}: the key {name!r}" if path else f"the key {name!r}"
                yield f"{place} is not text; write it in quotes"
    elif isinstance(value, list):
        for at, below in enumerate(value):
            yield from _odd(below, (*path, str(at)), (*above, id(value)))
    elif isinstance(value, datetime.date | datetime.time):
        yield f"{key}: {value} is a date to YAML; if it is a name, write it in quotes"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key}: input should be a finite number, not {value}"
    elif not isinstance(value, str | int | float | None):
        told = "input should be text, a number, true or false, or a list or section of them"
        yield f"{key}: {told}, not {shown(repr(value))}"


def _by_key(problems: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """One problem a key: of a key that may be several things, the alternatives joined, unless one of ours says it."""
    joined: dict[tuple[Any, ...], ErrorDetails] = {}
    for problem in problems:
        # pydantic puts the alternatives of a union into the path
        place = tuple(part for part in problem["loc"] if not str(part).startswith(_ALTERNATIVES))
        here = problem | {"loc": place, "msg": _plain(problem)}
        if place in joined and "value_error" in (own := joined[place]["type"], problem["type"]):
            here = joined[place] if own == "value_error" else here
        elif place in joined:
            here["msg"] = f"{joined[place]['msg']}, or {here['msg'].removeprefix(_START)}"
        joined[place] = here
    # A list one of whose values is wrong is meant to be a list: what else the key may be is of no interest.
    return [
        problem
        for above, problem in joined.items()
        if not any(place[: len(above)] == above for place in joined if place != above)
    ]


def _plain(problem: ErrorDetails) -> str:
    """What is wrong, in the words of someone who writes YAML rather than Python."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in ("model_type", "dict_type"):
        return f"{_START}a section of keys"
    if kind in ("tuple_type", "list_type"):
        return f"{_START}a list"
    if kind.startswith("bool_"):
        return f"{_START}true or false"
    if kind == "string_type":
        quotes = " in quotes" if isinstance(problem["input"], int | float) else ""
        return f"{_START}text{quotes}"
    if kind == "too_short":
        return f"{_START}a list of at least {many(context['min_length'], 'value')}"
    if kind == "too_long":
        return f"{_START}a list of at most {many(context['max_length'], 'value')}"
    message = problem["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _sentence(model: type[BaseModel], problem: ErrorDetails) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        _, section = _descended(model, path[:-1])
        siblings = [field.alias or name for name, field in getattr(section, "model_fields", {}).items()]
        return f"the key {key!r} does not exist{did_you_mean(path[-1], siblings)}"
    if problem["type"] == "missing":
        if isinstance(problem["loc"][-1], int):  # of a list with a fixed number of values
            return f"{'.'.join(path[:-1])}: the list {shown(repr(problem['input']))} has too few values"
        return f"the key {key!r} is missing"
    if problem["type"] == "value_error":  # one of our own, which says what is wrong with what
        return f"{key}: {problem['msg']}" if key else problem["msg"]
    return f"{key}: {problem['msg']}, not {shown(repr(problem['input']))}"


def field_at(model: type[BaseModel], path: Sequence[str]) -> FieldInfo | None:
    """The field of a model, or of a section below it, that a key belongs to; None where anything may stand."""
    return _descended(model, path)[0]


def _descended(model: type[BaseModel], path: Sequence[str]) -> tuple[FieldInfo | None, Any]:
    """The field at a path, if it is one, and the type of what stands there."""
    current: Any = model
    field = None
    for part in path:
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            current, field = get_args(current)[-1] if get_args(current) else None, None
            continue  # dict[str, Section]: one level deeper is the section
        field = next((f for name, f in current.model_fields.items() if part in (name, f.alias)), None)
        current = field.annotation if field else None
    return field, current
