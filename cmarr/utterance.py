"""An utterance, its features and its refusal: what every floor above speaks of, whatever the corpus."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cmarr.errors import UserError


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance. None means the modality is naturally absent.

    Paths are absolute while a corpus is read and while its media are; in the manifest file those below
    the corpus' root are relative to it, so that the file is the same wherever the corpus lies.

    `start` and `end` are seconds within the audio and video files (None: the whole file); `crop` is the
    part of the frame to look at ('left', 'right' or None); `label` a class name or None; `score` a
    regression target; `split` an official split ('train', 'valid', 'test') or None. `audio_whole` says
    that the audio file holds this utterance alone, so that `start` and `end` are places in the video only.
    `words` are (word, start, end), in seconds from the beginning of the utterance; `ratings` numbers by
    name (valence, arousal, dominance, intensity, ...), on the corpus' own scale; `seconds` among them is how long the
    corpus' table says that the utterance lasts. `damage` is what a protocol does to the recording as it is read
    (`cmarr.media.clips.Damage`); no manifest file holds it.
    """

    id: str
    text: str | None = None
    audio: str | None = None
    video: str | None = None
    label: str | None = None
    score: float | None = None
    speaker: str | None = None
    sex: str | None = None
    session: str | None = None
    dialogue: str | None = None
    start: float | None = None
    end: float | None = None
    crop: str | None = None
    split: str | None = None
    ratings: dict[str, float] = field(default_factory=dict)
    words: tuple[tuple[str, float, float], ...] = ()
    audio_whole: bool = False
    damage: Callable[[Any, float], Any] | None = None

    def source(self, modality: str) -> str | None:
        """What a modality ('s', 'v', 't') is read from: a path, or the text itself; None where it is absent."""
        return {"s": self.audio, "v": self.video, "t": self.text}[modality]

    def cluster(self, kind: str) -> str:
        """What this utterance is resampled with: its 'speaker' or 'dialogue', or else the nearest thing known."""
        return getattr(self, kind) or self.speaker or self.dialogue or self.id

    def span(self, modality: str) -> tuple[float | None, float | None]:
        """First and last second of a modality's file that belong to it; None: from its beginning, to its end."""
        return (None, None) if modality == "s" and self.audio_whole else (self.start, self.end)


_SEPARATES = re.compile("[\\u200b\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\\ufff9-\\ufffb]")
"""A zero-width space, which parts words, and control codes."""

_INVISIBLE = re.compile(
    "[\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff"
    "\\uffa0\\U000e0000-\\U000e0fff]"
)
"""Soft hyphens, marks of direction and of byte order, fillers, tags, choices of a letter's form: they part nothing and
show nothing."""

_JOINERS = re.compile("(?<![^\\x00-\\u024f\\s])[\\u200c\\u200d]|[\\u200c\\u200d](?![^\\x00-\\u024f\\s])")
"""Joiners that join nothing: they mean something between the letters of some scripts, and in emoji."""

_HALF = re.compile("[\\ud800-\\udfff]")
"""Half of a surrogate pair, which no UTF-8 text can hold."""


def readable(text: str) -> str:
    """A text as everything reads it: invisible characters gone, U+FFFD for halves of surrogate pairs.

    >>> readable("co\\u00adop \\ud83d")
    'coop \ufffd'
    """
    if text.isascii() and text.isprintable():
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _JOINERS.sub("", _INVISIBLE.sub("", _SEPARATES.sub(" ", whole)))


def holds_half(text: str) -> bool:
    """Whether half a character is in a text, as of an emoji cut in two, or a byte that is no UTF-8."""
    return _HALF.search(text) is not None


@dataclass(frozen=True)
class Rejected:
    """An input that could not be used: where (`modality` None: the whole utterance), and why."""

    id: str
    modality: str | None
    stage: str
    reason: str


def real_numbers(values: Any, what: str) -> np.ndarray:
    """An array of real numbers as float32. Raises UserError, naming `what`, for anything else.

    >>> real_numbers([[1, 2]], "speech")
    array([[1., 2.]], dtype=float32)
    """
    kind = "things of another kind"
    try:
        found = np.asarray(values)
        kind = str(found.dtype)
        if found.dtype.kind in "biufO":
            with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, and counts as such
                return np.asarray(found, np.float32)
    except (ValueError, TypeError):  # lists of several lengths, objects that are no numbers
        pass
    raise UserError(f"{what} holds {kind} where real numbers are due; give an array (T, D) of them")


@dataclass(frozen=True)
class FeatureSequence:
    """The features of one modality of one utterance: `frames` (T, D), `times` (T,) in seconds.

    Frames are float32, or whole numbers where they are the input of a network (samples, word pieces). `notes` are
    sentences for whoever predicts from them; no shard keeps them.
    """

    id: str
    frames: np.ndarray
    times: np.ndarray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.frames.ndim != 2 or self.times.shape != self.frames.shape[:1]:
            raise ValueError(
                f"utterance {self.id}: frames must be (T, D) and times (T,), "
                f"not {self.frames.shape} and {self.times.shape}"
            )
