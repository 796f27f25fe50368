"""A request: what it may hold, how much of it, and the clips in it. Nothing in it is a path; everything is checked."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.declaration import Section
from cmarr.errors import UserError
from cmarr.modalities import LETTERS
from cmarr.recognition.clips import Given, clip_from, letter_of
from cmarr.recognition.reading import Limits
from cmarr.validation import validate


class Clip(Section):
    """One clip of a request; whatever it lacks is simply missing.

    id:           comes back with the answer; without one, its number in the request
    clip:         base64 of a media file whose sound and picture are both used
    audio, video: base64 of media files, in place of what `clip` holds
    text:         what is said
    features:     'speech', 'video' or 'text' -> rows of numbers, in place of what an encoder would make
    hide:         modalities that must not be used
    start, end:   seconds of the media that are meant
    """

    id: str | None = None
    clip: str | None = None
    audio: str | None = None
    video: str | None = None
    text: str | None = None
    features: dict[str, list[list[float]]] | None = None
    hide: list[str] | None = None
    start: float | None = None
    end: float | None = None


class Reply(Section):
    """What is predicted for one clip: `cmarr.recognition.prediction.Prediction` as plain values.

    Where nothing could be predicted for a clip, `refused` says why, and there are no probabilities.
    """

    id: str
    start: float | None = None
    end: float | None = None
    winner: str | None = None
    score: float | None = None
    probabilities: dict[str, float]
    uncertainty: float | None = None
    used: list[str]
    recovered: list[str]
    missing: dict[str, str]
    warnings: list[str]
    refused: str | None = None


EXAMPLE = {"id": "greeting", "text": "I did not expect that"}
"""A request for every model with text."""


MOST = 32
"""Clips of one request, unless set otherwise."""

SERVED = Limits(max_megabytes=64.0, max_seconds=300.0, max_frames=20_000)
"""Limits of a server: what a stranger may ask is less than what a user asks of files of his own."""

LIMITED = {"max_clips": MOST, **asdict(SERVED)}
DEFAULTS = {"device": "auto", "workers": "auto", **{f"weights_{m}": "" for m in LETTERS}, **LIMITED}
"""What an MLflow model's `model_config` holds unless set otherwise."""


def bounds(values: Mapping[str, Any]) -> tuple[Limits, int]:
    """(limits, most clips of a request) from numbers by name. Raises UserError for one that cannot be."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise UserError(f"{name}: {value!r} is no limit; give a number above 0")
    own = dict(values)
    most = int(own.pop("max_clips", MOST))
    return replace(SERVED, **own), most


LONGEST = 300
"""Characters of a complaint: a message must not send a megabyte of base64 back."""

MEDIA = ("clip", "audio", "video")


def read_clips(inputs: object, limits: Limits, most: int) -> list[Clip]:
    """The clips of a request, checked one by one. Raises UserError, naming the clip and the key."""
    if not isinstance(inputs, Sequence) or isinstance(inputs, str | bytes) or not inputs:
        raise UserError('write {"inputs": [{"text": "..."}, ...]}, a list of one or more clips')
    if len(inputs) > most:
        raise UserError(
            f"{len(inputs)} clips in one request, more than max_clips = {most} allows; send several"
        )
    clips = []
    for number, row in enumerate(inputs):
        place = f"inputs[{number}]"
        if not isinstance(row, Mapping):
            raise UserError(f"{place}: must hold keys and values, not {type(row).__name__}")
        try:
            clip = validate(Clip, {str(key): value for key, value in row.items()}, place)
        except UserError as error:
            raise UserError(_short(str(error).splitlines()[0])) from None
        _check(clip, place, limits)
        clips.append(clip)
    return clips


def given(clips: Sequence[Clip], scratch: Path) -> Iterator[Given]:
    """The clips as a recognizer takes them; their media are put into the folder `scratch`. Raises UserError."""
    for number, clip in enumerate(clips):
        own = scratch / str(number)
        own.mkdir()
        media = {
            key: _decoded(clip, key, f"inputs[{number}]") for key in MEDIA if getattr(clip, key) is not None
        }
        whole = own / "clip"
        if "clip" in media:
            whole.write_bytes(media.pop("clip"))
        try:
            made = clip_from(
                whole if whole.exists() else None,
                **media,
                text=clip.text,
                start=clip.start,
                end=clip.end,
                scratch=own,
            )
            features = {letter_of(m): _array(m, values) for m, values in (clip.features or {}).items()}
        except UserError as error:
            raise UserError(f"inputs[{number}]: {error}") from None
        yield Given(replace(made.utterance, id=clip.id or str(number)), features)


def _check(clip: Clip, place: str, limits: Limits) -> None:
    if all(getattr(clip, key) is None for key in (*MEDIA, "text")) and not clip.features:
        raise UserError(f"{place}: holds nothing to predict from; give clip, audio, video, text or features")
    for key in MEDIA:
        code = getattr(clip, key)
        if code is not None and len(code) * 3 / 4 > limits.max_megabytes * 1e6:
            raise UserError(
                f"{place}.{key}: has {len(code) * 3 / 4e6:.1f} MB, more than max_megabytes = "
                f"{limits.max_megabytes:g} allows; cut it, or raise max_megabytes"
            )
    try:
        for modality in (*(clip.hide or ()), *(clip.features or {})):
            letter_of(modality)
    except UserError as error:
        raise UserError(_short(f"{place}: {error}")) from None


def _decoded(clip: Clip, key: str, place: str) -> bytes:
    code = getattr(clip, key)
    try:
        return base64.b64decode("".join(code.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError(
            f"{place}.{key}: is not base64; encode the bytes of the file, and send no path"
        ) from None


def _array(modality: str, rows: Sequence[Sequence[float]]) -> np.ndarray:
    if len({len(row) for row in rows}) > 1:
        raise UserError(f"features.{modality}: its rows are of different lengths")
    return np.asarray(rows, np.float32)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
