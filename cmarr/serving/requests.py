"""A request: what it may hold, how much of it, and the clips in it. Nothing in it is a path; everything is checked."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.errors import UserError
from cmarr.modalities import LETTERS
from cmarr.recognition.clips import Given, clip_from, letter_of
from cmarr.recognition.prediction import Refusal, printable
from cmarr.recognition.reading import Limits
from cmarr.serving.messages import Clip
from cmarr.utterance import holds_half
from cmarr.validation import validate

MOST = 32
"""Clips of one request, unless set otherwise."""

SERVED = Limits(max_megabytes=64.0, max_seconds=300.0, max_frames=20_000)
"""Limits of a server: what a stranger may ask is less than what a user asks of files of his own."""

LIMITED = {"max_clips": MOST, **asdict(SERVED)}

DEFAULTS = {"device": "auto", "workers": "auto", **{f"weights_{m}": "" for m in LETTERS}, **LIMITED}
"""What an MLflow model's `model_config` holds unless set otherwise."""

LONGEST = 300
"""Characters of a complaint: a message must not send a megabyte of base64 back."""

MEDIA = ("clip", "audio", "video")


def bounds(values: Mapping[str, Any]) -> tuple[Limits, int]:
    """(limits, most clips of a request) from numbers by name. Raises UserError for one that cannot be."""
    require_limits(values)
    own = dict(values)
    most = int(own.pop("max_clips", MOST))
    return replace(SERVED, **own), most


def require_limits(values: Mapping[str, Any]) -> None:
    """Raise UserError for a number, by its name, that bounds nothing."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise UserError(f"{name}: {value!r} is no limit; give a number above 0")


def read_clips(inputs: object, most: int) -> list[Clip]:
    """The clips of a request, their form checked one by one. Raises UserError, naming the clip and the key."""
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
            _refuse_halves(row)
            clip = validate(Clip, {str(key): value for key, value in row.items()}, place)
            for modality in (*(clip.hide or ()), *(clip.features or {})):
                letter_of(modality)
        except UserError as error:
            sentence = str(error).splitlines()[0]
            told = sentence if sentence.startswith(place) else f"{place}: {sentence}"
            raise UserError(told if len(told) <= LONGEST else f"{told[: LONGEST - 1]}…") from None
        clips.append(clip)
    return clips


def _refuse_halves(row: Mapping[Any, Any]) -> None:
    """Half a character, as of an emoji cut in two, is read as \ufffd in a text; elsewhere it is a mistake."""
    for key, value in row.items():
        inside = value if isinstance(value, list | Mapping) else [value]
        if holds_half(key) or (
            key not in ("id", "text") and any(isinstance(word, str) and holds_half(word) for word in inside)
        ):
            raise UserError(
                f"{printable(key)}: holds half a character (a lone surrogate such as \\ud800); send UTF-8"
            )


def given(clips: Sequence[Clip], scratch: Path, limits: Limits) -> Iterator[Given | Refusal]:
    """The clips as a recognizer takes them, and why one cannot be; their media are put into the folder `scratch`."""
    for number, clip in enumerate(clips):
        name, own = clip.id or str(number), scratch / str(number)
        own.mkdir()
        try:
            made = _given(clip, own, limits)
            features = {letter_of(m): _array(m, rows, limits) for m, rows in (clip.features or {}).items()}
        except UserError as error:
            yield Refusal(name, str(error))
        else:
            yield Given(replace(made.utterance, id=name), features)


def _given(clip: Clip, scratch: Path, limits: Limits) -> Given:
    if all(getattr(clip, key) is None for key in (*MEDIA, "text")) and not clip.features:
        raise UserError("holds nothing to predict from; give clip, audio, video, text or features")
    media = {key: _decoded(key, code, limits) for key in MEDIA if (code := getattr(clip, key)) is not None}
    whole = None
    if "clip" in media:
        whole = scratch / "clip"
        whole.write_bytes(media.pop("clip"))
    return clip_from(whole, **media, text=clip.text, start=clip.start, end=clip.end, scratch=scratch)


def _decoded(key: str, code: str, limits: Limits) -> bytes:
    megabytes = len(code) * 3 / 4e6
    if megabytes > limits.max_megabytes:
        raise UserError(
            f"{key}: has {megabytes:.1f} MB, more than max_megabytes = {limits.max_megabytes:g} allows; "
            "cut it, or raise max_megabytes"
        )
    try:
        return base64.b64decode("".join(code.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"{key}: is not base64; encode the bytes of the file, and send no path") from None


def _array(modality: str, rows: Sequence[Sequence[float]], limits: Limits) -> np.ndarray:
    if len(rows) > limits.max_frames:
        raise UserError(
            f"features.{modality}: has {len(rows)} rows, more than max_frames = {limits.max_frames} allows"
        )
    if len({len(row) for row in rows}) > 1:
        raise UserError(f"features.{modality}: its rows are of different lengths")
    return np.asarray(rows, np.float32)
