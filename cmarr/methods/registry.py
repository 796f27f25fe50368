"""Which methods there are. A method's file is imported only when that method runs."""

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from cmarr.errors import UserError
from cmarr.methods.protocol import Task

METHODS = {
    "cmarr": "CMARR",
    "masked": "Masked",
    "linear": "Linear",
}
"""Key in params.yaml, which is also the module's name in this folder -> class."""


def build_method(name: str, dims: Mapping[str, int], task: Task, settings: Mapping[str, Any]) -> nn.Module:
    """Construct a method by its key; raises UserError for a key that does not exist."""
    if name not in METHODS:
        raise UserError(f"methods: {name!r} is not a method; there are {', '.join(METHODS)}")
    module = importlib.import_module(f"cmarr.methods.{name}")
    return getattr(module, METHODS[name])(dims=dims, task=task, **settings)
