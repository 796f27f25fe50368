"""Whether an encoder could start now: its weights are here, or would have to be fetched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmarr.corpora.expected import Finding
from cmarr.encoders.registry import build_encoder
from cmarr.errors import UserError


def weights_finding(modality: str, name: str, settings: Mapping[str, Any]) -> Finding:
    """One line about the encoder of a modality ('speech', 'video', 'text'); nothing is fetched.

    A pretrained network is looked for in its folder, or in the cache of the model hub; an encoder of
    another kind is built, which takes a moment and says best what it lacks.
    """
    model, revision = settings.get("model"), settings.get("revision")
    if model is None:
        try:
            build_encoder(name, **settings)
        except UserError as error:
            return Finding("problem", f"{modality}: {error}")
        return Finding("ok", f"{modality}: {name}, ready")
    if Path(model).expanduser().is_dir():
        return Finding("ok", f"{modality}: {name} from the folder {model}")
    if _cached(model, revision):
        return Finding("ok", f"{modality}: {name}, {model} is on this machine")
    advice = f"the first extraction fetches it; without a connection set encoders.{name}.model to a folder"
    return Finding("warning", f"{modality}: {name}, {model} is not on this machine", advice)


def _cached(model: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str)
    except HFValidationError:  # a folder that is not there
        return False
