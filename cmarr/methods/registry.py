"""Which methods there are. A method's file is imported only when that method runs."""

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from cmarr.errors import UserError
from cmarr.task import Task

METHODS = {
    "cmarr": "CMARR",
    "masked": "Masked",
    "linear": "Linear",
    "gbdt": "GBDT",
    "cra": "CRA",
    "mmin": "MMIN",
    "if_mmin": "IFMMIN",
    "cif_mmin": "CIFMMIN",
    "dicmor": "DiCMoR",
    "mcur": "MCUR",
}
"""Key in params.yaml, which is also the module's name in this folder -> class."""

FIRST_STAGES = {
    "mmin": "Complete",
    "if_mmin": "Shared",
    "cif_mmin": "Contrasted",
    "dicmor": "Complete",
    "mcur": "Teacher",
}
"""Method that starts from a model trained on complete data -> that model's class, in the method's module."""


def build_method(
    name: str,
    dims: Mapping[str, int],
    task: Task,
    settings: Mapping[str, Any],
    *,
    first_stage: bool = False,
) -> nn.Module:
    """Construct a method by its key, or the model that it starts from, which obeys the same protocol.

    Raises UserError for a key that does not exist.
    """
    classes = FIRST_STAGES if first_stage else METHODS
    if name not in classes:
        raise UserError(f"methods: {name!r} is not a method; there are {', '.join(classes)}")
    module = importlib.import_module(f"cmarr.methods.{name}")
    return getattr(module, classes[name])(dims=dims, task=task, **settings)
