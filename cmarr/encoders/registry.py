"""Encoders by name, as params.yaml has it. An encoder's file is imported only when that encoder is asked for."""

import inspect
from typing import Any

from cmarr.encoders.protocol import Encoder
from cmarr.plugins import ENCODERS, load, names


def encoder_names() -> tuple[str, ...]:
    """Every encoder there is."""
    return names(ENCODERS)


def build_encoder(name: str, **settings: Any) -> Encoder:
    """Construct an encoder by its key; raises UserError for a key that does not exist."""
    return load(ENCODERS, name)(**settings)


def keywords(name: str) -> list[str]:
    """The settings that an encoder's constructor takes; raises UserError for a key that does not exist."""
    return list(inspect.signature(load(ENCODERS, name)).parameters)
