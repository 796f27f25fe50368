"""The encoders of a model, built again on this machine and compared with what they were."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from cmarr.encoders.protocol import Encoder
from cmarr.encoders.registry import build_encoder, place_keys
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.modalities import LETTERS
from cmarr.recognition.trained import TOKENIZER, EncoderAbout
from cmarr.utterance import FeatureSequence, Rejected, Utterance

DECIDE = ("encoder", "revision", "parameters")
"""What of a provenance must be the same, or the features mean something else."""


class Waiting:
    """An encoder that is built when it first encodes: the libraries of a pretrained network take seconds to load."""

    def __init__(self, modality: str, dim: int, build: Callable[[], Encoder]) -> None:
        self.modality, self.dim = modality, dim
        self._build, self._lock = build, Lock()
        self._built: Encoder | None = None

    @property
    def built(self) -> Encoder:
        """The encoder itself. Raises UserError as `encoders_for` does."""
        with self._lock:
            if self._built is None:
                self._built = self._build()
            return self._built

    def describe(self) -> dict[str, str]:
        """As the encoder's own."""
        return self.built.describe()

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """As the encoder's own."""
        return self.built.encode(utterances)


def encoders_for(
    encoders: Mapping[Any, EncoderAbout],
    *,
    places: Mapping[str, str] | None = None,
    folder: Path | None = None,
    workers: int = 1,
    seconds: float = 60.0,
    device: str = "auto",
    waiting: Mapping[str, int] | None = None,
) -> tuple[dict[str, Encoder], list[str]]:
    """Letter -> encoder, of the modalities that have one, and what is worth telling about them.

    places: modality ('speech', 'video', 'text') -> where its weights lie on this machine, if elsewhere
    folder: an exported model's, which may hold a tokenizer
    waiting: letter -> width of the encoders that need not be built before they are used; what is wrong with one of
            them is raised then

    Raises UserError for weights that are not here or are others than those the model was trained with.
    """
    places = dict(places or {})
    unknown = [m for m in places if m not in encoders or encoders[m].name is None]
    if unknown:
        raise UserError(f"weights: this model has no encoder of {unknown[0]!r}; it has {', '.join(encoders)}")
    found: dict[str, Encoder] = {}
    notes: list[str] = []
    waiting = waiting or {}
    for modality, about in encoders.items():
        if about.name is None:
            continue
        settings = {**about.settings, **_place(modality, about, places)}
        if settings.get("tokenizer"):
            settings["tokenizer"] = _tokenizer(folder, settings["tokenizer"])
        machine = {"workers": workers, "seconds": seconds, "device": device}
        build = partial(_built, modality, about, settings, machine)
        letter = LETTERS[modality]
        if letter in waiting:
            found[letter] = Waiting(letter, waiting[letter], lambda build=build: build()[0])  # type: ignore[misc]
        else:
            found[letter], told = build()
            notes += told
    return found, notes


def _built(
    modality: str, about: EncoderAbout, settings: Mapping[str, Any], machine: Mapping[str, Any]
) -> tuple[Encoder, list[str]]:
    encoder = build_encoder(str(about.name), settings, **machine)
    return encoder, _differences(modality, about, encoder)


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
