"""Methods by name, as params.yaml has it. A method's file is imported only when that method is asked for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cmarr.errors import UserError
from cmarr.plugins import METHODS, load, names
from cmarr.task import Task
from cmarr.validation import validate

if TYPE_CHECKING:
    from torch import nn


def method_names() -> tuple[str, ...]:
    """Every method there is, plugins among them.

    >>> "gaussian" in method_names()
    True
    """
    return names(METHODS)


def method_class(name: str, *, first_stage: bool = False) -> Any:
    """The class of a method, or of the model that it starts from.

    Raises UserError for a name that does not exist, and for a method that starts from nothing.
    """
    made = load(METHODS, name)
    if not first_stage:
        return made
    if getattr(made, "first_stage", None) is None:
        raise UserError(f"methods: {name} starts from no other model")
    return made.first_stage


def build_method(
    name: str,
    dims: Mapping[str, int],
    task: Task,
    settings: Mapping[str, Any],
    *,
    first_stage: bool = False,
) -> "nn.Module":
    """Construct a method by its name, or the model that it starts from, which obeys the same protocol.

    settings: values of what the class declares in its `Settings`; the others are as declared there.

    Raises UserError for a name that does not exist, and for settings that the class does not have or cannot take.
    """
    made = method_class(name, first_stage=first_stage)
    method: nn.Module = made(dims, task, validate(made.Settings, settings, f"method.{name}"))
    return method
