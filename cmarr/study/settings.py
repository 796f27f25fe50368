"""The settings of a study in Python: cmarr's own params.yaml and presets, with what the caller says laid over them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmarr.errors import UserError, did_you_mean
from cmarr.settings.declared import method_section, objective
from cmarr.settings.load import load_settings, merge
from cmarr.settings.resolve import resolve

SHIPPED = Path(__file__).parent / "defaults"
"""params.yaml and presets/, those of the repository: links in a checkout, copies in an installed package."""

PARAMS, PRESETS = SHIPPED / "params.yaml", SHIPPED / "presets"


def preset_names() -> tuple[str, ...]:
    """The presets there are.

    >>> "frozen" in preset_names()
    True
    """
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def resolved(over: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the stages would read, by `<stage>`, modality and method, with `over` laid over params.yaml.

    Raises UserError for a key or a value that cannot be, a preset, a method or a dataset that does not exist.
    """
    try:
        return resolve(load_settings(PARAMS, PRESETS, over=over))
    except UserError as error:
        raise UserError(str(error).replace(f"{PARAMS}: ", "")) from None


def of_method(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a method as keywords -> where they stand in params.yaml: weights of an objective lie at the top.

    Raises UserError for a method that does not exist, and for a setting that it does not have.
    """
    top = {own: key for key, own in objective(method).items()}
    section = method_section(method).model_fields
    known = [*top, *(field.alias or name for name, field in section.items())]
    for key in settings:
        if key not in known:
            near = did_you_mean(key, known) or f"; there are {', '.join(sorted(known))}"
            raise UserError(f"{method} has no setting {key!r}{near}")
    own = {key: value for key, value in settings.items() if key not in top}
    over: dict[str, Any] = {top[key]: value for key, value in settings.items() if key in top}
    return merge(over, {"method": {method: own}} if own else {})
