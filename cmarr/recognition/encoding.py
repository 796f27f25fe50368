"""The encoders of a model, built again on this machine and compared with what they were."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmarr.encoders.protocol import Encoder
from cmarr.encoders.registry import build_encoder, place_keys
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.modalities import LETTERS
from cmarr.recognition.trained import TOKENIZER, EncoderAbout

DECIDE = ("encoder", "revision", "parameters")
"""What of a provenance must be the same, or the features mean something else."""


def encoders_for(
    encoders: Mapping[Any, EncoderAbout],
    *,
    places: Mapping[str, str] | None = None,
    folder: Path | None = None,
    workers: int = 1,
    seconds: float = 60.0,
    device: str = "auto",
) -> tuple[dict[str, Encoder], list[str]]:
    """Letter -> encoder, of the modalities that have one, and what is worth telling about them.

    places: modality ('speech', 'video', 'text') -> where its weights lie on this machine, if elsewhere
    folder: an exported model's, which may hold a tokenizer

    Raises UserError for weights that are not here or are others than those the model was trained with.
    """
    places = dict(places or {})
    unknown = [m for m in places if m not in encoders or encoders[m].name is None]
    if unknown:
        raise UserError(f"weights: this model has no encoder of {unknown[0]!r}; it has {', '.join(encoders)}")
    found, notes = {}, []
    for modality, about in encoders.items():
        if about.name is None:
            continue
        settings = {**about.settings, **_place(modality, about, places)}
        if settings.get("tokenizer"):
            settings["tokenizer"] = _tokenizer(folder, settings["tokenizer"])
        encoder = build_encoder(about.name, settings, workers=workers, seconds=seconds, device=device)
        notes += _differences(modality, about, encoder)
        found[LETTERS[modality]] = encoder
    return found, notes


def _place(modality: str, about: EncoderAbout, places: Mapping[str, str]) -> dict[str, str]:
    if modality not in places:
        return {}
    brought = about.settings.get("tokenizer") or about.settings.get("least")
    key = (
        None
        if brought
        else next((key for key in place_keys(about.name or "") if about.settings.get(key)), None)
    )
    if key is None:
        raise UserError(f"weights: the encoder of {modality} ({about.name}) needs none")
    return {key: places[modality]}


def _tokenizer(folder: Path | None, expected: str) -> str:
    path = (folder or Path()) / TOKENIZER
    if not path.is_file() or file_digest(path) != expected:
        what = "is not the one that the model was exported with" if path.is_file() else "is not there"
        raise UserError(f"{path}: {what}; export the model again")
    return str(path)


def _differences(modality: str, about: EncoderAbout, encoder: Encoder) -> list[str]:
    """Raise where the features would be others; tell where the libraries are."""
    now = encoder.describe()
    for key in DECIDE:
        then = about.provenance.get(key)
        if then is not None and then != now.get(key):
            raise UserError(
                f"{modality}: the encoder {about.name} has another {key} here ({now.get(key)}) than the model was "
                f"trained with ({then}); its features would mean something else"
            )
    if about.provenance.get("libraries") not in (None, now.get("libraries")):
        return [
            f"{modality}: trained with {about.provenance['libraries']}, here is {now.get('libraries')}; "
            "predictions may differ a little"
        ]
    return []
