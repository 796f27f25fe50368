"""What a user hands over, a path or bytes or samples or a text, as a clip to be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.corpora.captions import ENDINGS, read_captions
from cmarr.corpora.headers import FILM, SOUND
from cmarr.corpora.transcripts import read_text
from cmarr.errors import Unreadable, UserError, did_you_mean
from cmarr.modalities import LETTERS, NAMES
from cmarr.utterance import Utterance

Media = str | Path | bytes | tuple[Any, int]
"""A path, a file's bytes, or samples and their rate."""

AUDIO = (*SOUND, ".mp3", ".m4a", ".aac", ".opus", ".oga", ".wma")
"""Endings of files that are sound alone; a picture in one of them is a cover."""

VIDEO = (*(s for s in FILM if s not in AUDIO), ".mpg", ".mpeg", ".m4v", ".wmv", ".3gp", ".ts")
TEXTS = (".txt", *ENDINGS)
"""Endings of transcripts, the most telling last."""


@dataclass(frozen=True)
class Given:
    """A clip to be read.

    features: letter -> (T, D) array that stands for a modality of the utterance
    unread:   letter -> why what was there for a modality could not be read; nothing of it is in the utterance
    """

    utterance: Utterance
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


def clip_from(
    clip: str | Path | None,
    *,
    audio: Media | None = None,
    video: Media | None = None,
    text: str | None = None,
    start: float | None = None,
    end: float | None = None,
    scratch: Path,
) -> Given:
    """One clip; bytes and samples are put into the folder `scratch`. Arguments as in `Recognizer.predict`.

    Raises UserError for arguments that are no media, and for times that cannot be.
    """
    sound = picture = said = None
    if clip is not None:
        sound, picture = media_of(clip)
        said = sidecar(Path(clip))
    if audio is not None:
        sound = _file(audio, "audio", scratch)
    if video is not None:
        picture = _file(video, "video", scratch)
    if not 0 <= (start or 0.0) < (float("inf") if end is None else end):
        raise UserError(
            f"start = {start} and end = {end} are not the beginning and end of a clip, in seconds"
        )
    name = next((shown(p) for p in (clip, sound, picture) if p is not None), "text")
    utterance = Utterance(name, audio=sound, video=picture, start=start, end=end)
    if text is not None:
        return Given(replace(utterance, text=text))
    return beside(utterance, said) if said is not None else Given(utterance)


def media_of(path: str | Path) -> tuple[str | None, str | None]:
    """(audio, video) of a media file: both may be in it, unless its ending says that it is sound alone."""
    place = str(path)
    return (place, None) if Path(place).suffix.lower() in AUDIO else (place, place)


def sidecar(path: Path) -> Path | None:
    """The transcript beside a media file, under the same name; captions before plain text."""
    for ending in reversed(TEXTS):
        found = path.with_suffix(ending)
        if found != path and found.is_file():
            return found
    return None


def beside(utterance: Utterance, path: Path) -> Given:
    """The utterance with the text of the file beside it; one that cannot be read costs it that text alone."""
    try:
        return Given(with_transcript(utterance, path))
    except Unreadable as error:
        return Given(utterance, unread={"t": shown(error)})


def with_transcript(utterance: Utterance, path: Path) -> Utterance:
    """The utterance with the text of a file; of captions, what is said between its start and end.

    Raises Unreadable for a file that cannot be read.
    """
    if path.suffix.lower() not in ENDINGS:
        return replace(utterance, text=read_text(path).strip())
    begin, end = utterance.start or 0.0, float("inf") if utterance.end is None else utterance.end
    lines = tuple(line for line in read_captions(path) if begin <= (line[1] + line[2]) / 2 < end)
    return replace(utterance, text=" ".join(said for said, _, _ in lines), words=lines)


def letter_of(modality: str) -> str:
    """'s' of 'speech', and so on; a letter stays. Raises UserError for what is no modality."""
    letter = LETTERS.get(modality, modality)
    if letter not in NAMES:
        raise UserError(
            f"{modality!r} is not a modality; there are {', '.join(LETTERS)}{did_you_mean(modality, LETTERS)}"
        )
    return letter


def shown(path: object) -> str:
    """A path as text that can be printed and stored: bytes that are no UTF-8, and control codes, escaped."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _file(media: Media, kind: str, scratch: Path) -> str:
    if isinstance(media, str | Path):
        return str(media)
    path = scratch / kind
    if isinstance(media, bytes | bytearray | memoryview):
        path.write_bytes(media)
        return str(path)
    if kind == "audio" and isinstance(media, tuple) and len(media) == 2:
        import soundfile

        samples, rate = np.asarray(media[0], np.float32), int(media[1])
        if samples.ndim in (1, 2) and rate > 0:
            soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")
            return str(path)
    raise UserError(
        f"{kind}: give a path or the bytes of a file" + (", or (samples, rate)" if kind == "audio" else "")
    )
