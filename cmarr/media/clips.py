"""A clip: the part of a media file that one utterance occupies."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from cmarr.budgets import is_device, shown
from cmarr.errors import Unreadable
from cmarr.utterance import Utterance, holds_half

RATE = 16_000
"""Sampling rate, Hz, that every speech encoder is given."""

RATES = (1_000, 400_000)
"""Sampling rates, Hz, that a file may claim; outside, its header is damaged."""

GROUP_LIMIT = 256
"""Most clips of one file that are decoded in one pass; bounds what waits in memory. The longest dialogue of IEMOCAP
holds about half as many utterances."""

_POINTER = b"version https://git-lfs"

A = TypeVar("A")

Damage = Callable[[np.ndarray, float], np.ndarray]
"""What is done to one utterance's sound or frames between its file and everything that reads it; picklable.

It is called with samples (N,) float32 at 16 kHz, or with a gray frame (H, W) uint8 and its second from the clip's
start, and gives the same shape. `str` of it names all that decides the outcome (kind, degree, seed): where that
changes, features are made anew.
"""


@dataclass(frozen=True)
class Clip:
    """Seconds `start` to `end` of a file (None: from its beginning, to its end).

    `crop` is the half of the frame to look at: 'left', 'right' or None for the whole frame. `damage` is done
    to what is read, before anybody sees it.
    """

    path: str
    start: float | None = None
    end: float | None = None
    crop: str | None = None
    damage: Damage | None = None

    @property
    def begin(self) -> float:
        """First second of the clip."""
        return self.start or 0.0

    @property
    def stop(self) -> float:
        """Second at which the clip ends; infinity for the end of the file."""
        return float("inf") if self.end is None else self.end


@dataclass(frozen=True)
class Failure:
    """Why there is no result for a clip, as one sentence."""

    reason: str


def clip_of(utterance: Utterance, modality: str) -> Clip:
    """The part of the audio ('s') or video ('v') file that an utterance occupies."""
    path = utterance.audio if modality == "s" else utterance.video
    if path is None:
        raise ValueError(f"utterance {utterance.id} has no modality {modality!r}")
    crop = utterance.crop if modality == "v" else None
    return Clip(path, *utterance.span(modality), crop, utterance.damage)


def one_by_one(function: Callable[[Clip], A], clips: Sequence[Clip]) -> list[A | Failure]:
    """`function` of each clip; one that cannot be read costs none of the others in the same file."""

    def attempt(clip: Clip) -> A | Failure:
        try:
            return function(clip)
        except Unreadable as error:
            return Failure(str(error))

    return [attempt(clip) for clip in clips]


def by_file(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """Neighbouring clips of the same file as one group, so that the file is decoded once for them."""
    for _, neighbours in itertools.groupby(clips, key=lambda clip: clip.path):
        while group := list(itertools.islice(neighbours, GROUP_LIMIT)):
            yield group


def require_whole(path: str | Path) -> None:
    """Raise Unreadable for a pointer of Git LFS, which stands for a file until that is fetched."""
    if is_device(path):  # what is read of a pipe is gone
        return
    try:
        with Path(path).open("rb") as opened:
            pointer = opened.read(len(_POINTER)) == _POINTER
    except (OSError, ValueError):  # whoever opens it says so
        return
    if pointer:
        raise Unreadable(f"{path} is a pointer of Git LFS and not the file; run `git lfs pull`")


def require_file(path: str) -> None:
    """Raise Unreadable when a path holds no file, an empty one, or a pointer of Git LFS."""
    file = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113 - it says no to what no file can be called
        what = "is a folder, not a media file" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        if is_device(path):
            what = "is a pipe or a device and no file"
        elif os.path.islink(path):  # noqa: PTH114
            what = f"is a link to {file.readlink()}, which is not there (`git annex get`, `datalad get`?)"
        raise Unreadable(
            f"{shown(path)} {what}; correct the path, or leave it empty if this modality is absent"
        )
    if holds_half(path):
        raise Unreadable(f"the name of {shown(path)} holds bytes that are no UTF-8; rename the file")
    if file.stat().st_size == 0:
        raise Unreadable(f"{path} is empty (0 bytes); fetch the file again, or leave its path empty")
    require_whole(path)


def require_span(clip: Clip) -> None:
    """Raise Unreadable when a clip ends before it begins."""
    if not clip.begin < clip.stop:
        raise Unreadable(
            f"{clip.path}: the utterance ends at {clip.stop:g} s but begins at {clip.begin:g} s; "
            "correct `start` and `end`, in seconds"
        )
