"""Encoders by name, as params.yaml has it. An encoder's file is imported only when that encoder is asked for."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmarr.budgets import expanded
from cmarr.declaration import PLACE, marked
from cmarr.encoders.protocol import Encoder
from cmarr.plugins import ENCODERS, load
from cmarr.validation import validate


def encoder_class(name: str) -> Any:
    """The class of an encoder. Raises UserError for a name that does not exist."""
    return load(ENCODERS, name)


def build_encoder(name: str, settings: Mapping[str, Any] | None = None, **machine: Any) -> Encoder:
    """Construct an encoder by its name.

    settings: values of what the class declares in its `Settings`; the others are as declared there
    machine:  what the machine allows (workers, seconds, device, window), of which an encoder takes what it uses

    Raises UserError for a name that does not exist, and for settings that the class does not have or cannot take.
    """
    made = encoder_class(name)
    used = {key: value for key, value in machine.items() if key in inspect.signature(made).parameters}
    encoder: Encoder = made(validate(made.Settings, settings or {}, f"encoders.{name}"), **used)
    return encoder


def takes_device(name: str) -> bool:
    """Whether an encoder runs a network, and therefore on a device. Raises UserError as `encoder_class` does."""
    return "device" in inspect.signature(encoder_class(name)).parameters


def place_keys(name: str) -> list[str]:
    """The settings of an encoder that say where something lies. Raises UserError as `encoder_class` does."""
    return marked(encoder_class(name).Settings, PLACE)


def placed(name: str, settings: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The settings of an encoder, with the files and folders below `base` that they name made absolute."""
    found = dict(settings)
    for key in place_keys(name):
        if found.get(key) and (path := base / expanded(found[key])).exists():
            found[key] = str(path)
    return found
