"""What the headers of media files say. Opened in worker processes: a header alone can crash a decoder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmarr.errors import Unreadable
from cmarr.extras import extra
from cmarr.media.clips import Failure, require_file
from cmarr.media.worker_pool import decode
from cmarr.progress import progress

SOUND = (".wav", ".flac", ".ogg", ".aif", ".aiff")
"""Endings of what libsndfile opens first."""
FEATURES = (".pkl", ".pickle", ".h5", ".hdf5", ".npz", ".npy", ".parquet", ".csv")
"""Endings of files that hold features of many utterances."""
_GROUP = 8


@dataclass(frozen=True)
class MediaFile:
    """A file whose header is asked for."""

    path: str


Seconds = tuple[float, float]
"""From where to where, s from the beginning of the file."""


@dataclass(frozen=True)
class Header:
    """Length in seconds (None: nobody knows), and which tracks the file has.

    `pixels` of a frame and `frames` in all are those of the video track; 0 where there is none, or nobody knows.
    `sounds` and `picture`: the seconds in which each sound track, and the video track, begins and ends, by their
    headers or, where these do not say, measured; nothing of a track that holds nothing.
    """

    seconds: float | None
    audio: bool
    video: bool
    pixels: int = field(default=0, compare=False)
    frames: int = field(default=0, compare=False)
    sounds: tuple[Seconds | None, ...] = field(default=(), compare=False)
    picture: Seconds | None = field(default=None, compare=False)

    @property
    def sound(self) -> Seconds | None:
        """From where the first sound track begins to where the last one ends."""
        known = [span for span in self.sounds if span is not None]
        return (min(b for b, _ in known), max(e for _, e in known)) if known else None

    def span(self, modality: str, track: int | None = None) -> tuple[float, float | None]:
        """Where a modality ('s', 'v'), or one of its tracks, begins and ends in the file; (0, its length) where only
        that is known.
        """
        found = self.sound if modality == "s" else self.picture
        if modality == "s" and track is not None and track < len(self.sounds):
            found = self.sounds[track]
        return found or (0.0, self.seconds)

    def holds(self, modality: str) -> bool:
        """Whether the file has a track of a modality ('s', 'v')."""
        return self.audio if modality == "s" else self.video

    def used(
        self, modality: str, begin: float | None, end: float | None, track: int | None = None
    ) -> float | None:
        """Seconds of a modality ('s', 'v'), or of one of its tracks, between two times; None where nobody knows."""
        first, last = self.span(modality, track)
        if end is None and last is None:
            return None
        stop = min(x for x in (end, last) if x is not None)
        return max(stop - max(begin or 0.0, first), 0.0)


def is_media(path: str | None) -> bool:
    """True for the path of a recording, whatever it ends in; False for that of a file of features."""
    return path is not None and Path(path).suffix.lower() not in FEATURES


def read_headers(
    paths: Iterable[str], workers: int = 1, seconds: float = 10.0
) -> dict[str, Header | Failure]:
    """Path -> its header, or why it cannot be opened; nothing is decoded. `seconds` limits one file."""
    files = [MediaFile(path) for path in dict.fromkeys(paths)]
    groups: Any = (files[i : i + _GROUP] for i in range(0, len(files), _GROUP))
    headers = progress(decode(Opener, groups, workers, seconds), "media headers", "file", len(files))
    return {file.path: header for file, header in zip(files, headers, strict=True)}


class Opener:
    """What runs in the worker: files to their headers."""

    def __call__(self, files: Sequence[Any]) -> list[Header | Failure]:
        """One result a file; one that cannot be opened costs none of the others."""
        return [self._open(file.path) for file in files]

    def _open(self, path: str) -> Header | Failure:
        try:
            require_file(path)
            return _header(path)
        except Unreadable as error:
            return Failure(str(error))
        except Exception as error:  # whatever a damaged header makes of the libraries
            told = getattr(error, "strerror", None) or str(error) or type(error).__name__
            reason = told.splitlines()[0].removesuffix(".")
            reason = reason.removeprefix(f"Error opening {path!r}: ")
            remedy = "give a recording" if reason.startswith("it is ") else "fetch it again"
            return Failure(f"{path} cannot be opened ({reason}); {remedy}")


def _header(path: str) -> Header | Failure:
    if not path.lower().endswith(SOUND):
        return _film(path)
    with extra("media"):
        import soundfile

    try:
        header = soundfile.info(path)
    except soundfile.LibsndfileError:
        return _film(path)  # an ending says little: the decoders go by content, too
    if not header.frames:
        found = _film(path)  # of a recorder that was killed before it wrote the length
        if isinstance(found, Failure) or not found.seconds:
            return Failure(f"{path} holds no sound; fetch it again")
        return found
    seconds = header.frames / header.samplerate
    return Header(seconds, audio=True, video=False, sounds=((0.0, seconds),))


def _film(path: str) -> Header | Failure:
    with extra("media"):
        import av

    from cmarr.media.containers import open_media, spans_of, video_tracks

    with open_media(path) as container:
        pictures = video_tracks(container)[:1]
        sounds = list(container.streams.audio)
        if not sounds and not pictures:
            return Failure(f"{path} holds neither sound nor video; fetch it again")
        seconds = container.duration / av.time_base if container.duration else None
        rate = float(pictures[0].average_rate or 0) if pictures else 0.0
        size = pictures[0].codec_context if pictures else None
        frames = pictures[0].frames if pictures else 0
        spans = spans_of(container, [*sounds, *pictures], Path(path).stat().st_size)
        heard = [spans.get(track.index) for track in sounds]
        seen = next((spans.get(track.index) for track in pictures), None)
        if spans:
            seconds = max(span.end for span in spans.values())
        lasts = seen.end - seen.begin if seen else seconds or 0.0
        return Header(
            seconds,
            audio=bool(sounds),
            video=bool(pictures),
            pixels=size.width * size.height if size is not None else 0,
            frames=frames or (seen.packets if seen else 0) or round(lasts * rate),
            sounds=tuple((span.begin, span.end) if span else None for span in heard),
            picture=(seen.begin, seen.end) if seen else None,
        )
