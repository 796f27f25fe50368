"""What a server refuses, and the plain values that MLflow keeps as a model's configuration."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from cmarr.errors import UserError
from cmarr.modalities import LETTERS
from cmarr.recognition.limits import Limits

MOST = 32
"""Clips of one request, unless told otherwise."""

SERVED = Limits(max_megabytes=64.0, max_seconds=300.0, max_frames=20_000)
"""Limits of a server: what a stranger may ask is less than what a user asks of files of his own."""

LIMITED = {"max_clips": MOST, **asdict(SERVED)}
DEFAULTS = {"device": "auto", "workers": "auto", **{f"weights_{m}": "" for m in LETTERS}, **LIMITED}
"""What an MLflow model's `model_config` holds unless told otherwise."""


def bounds(values: Mapping[str, Any]) -> tuple[Limits, int]:
    """(limits, most clips of a request) from numbers by name. Raises UserError for one that cannot be."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise UserError(f"{name}: {value!r} is no limit; give a number above 0")
    own = dict(values)
    most = int(own.pop("max_clips", MOST))
    return replace(SERVED, **own), most
