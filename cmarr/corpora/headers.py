"""What the headers of media files say. Opened in worker processes: a header alone can crash a decoder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmarr.errors import Unreadable
from cmarr.media.clips import Failure, require_file
from cmarr.media.worker_pool import decode
from cmarr.progress import progress

SOUND = (".wav", ".flac", ".ogg", ".aif", ".aiff")
FILM = (".mp4", ".avi", ".flv", ".mkv", ".mov", ".webm", ".mp3", ".m4a")
_GROUP = 8


@dataclass(frozen=True)
class MediaFile:
    """A file whose header is asked for."""

    path: str


@dataclass(frozen=True)
class Header:
    """Length in seconds (None: the header does not say), and which tracks the file has.

    `pixels` of a frame and `frames` in all are those of the video track; 0 where there is none, or the
    header does not say. `sound`: the seconds in which the sound tracks begin and end, where they say so.
    """

    seconds: float | None
    audio: bool
    video: bool
    pixels: int = field(default=0, compare=False)
    frames: int = field(default=0, compare=False)
    sound: tuple[float, float] | None = field(default=None, compare=False)


def is_media(path: str | None) -> bool:
    """True for a path that ends like a sound or video file."""
    return path is not None and Path(path).suffix.lower() in (*SOUND, *FILM)


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
            reason = (str(error) or type(error).__name__).splitlines()[0].removesuffix(".")
            reason = reason.removeprefix(f"Error opening {path!r}: ")
            return Failure(f"{path} cannot be opened ({reason}); fetch it again")


def _header(path: str) -> Header | Failure:
    if not path.lower().endswith(SOUND):
        return _film(path)
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
    return Header(header.frames / header.samplerate, audio=True, video=False)


def _film(path: str) -> Header | Failure:
    import av

    from cmarr.media.containers import open_media, video_tracks

    with open_media(path) as container:
        tracks = video_tracks(container)
        audio, video = bool(container.streams.audio), bool(tracks)
        if not audio and not video:
            return Failure(f"{path} holds neither sound nor video; fetch it again")
        seconds = container.duration / av.time_base if container.duration else None
        sound = _span(container) if audio else None
        if not video:
            return Header(seconds, audio, video, sound=sound)
        track = tracks[0]
        frames = track.frames or round((seconds or 0) * float(track.average_rate or 0))
        size = track.codec_context
        pixels = size.width * size.height if size is not None else 0
        return Header(seconds, audio, video, pixels, frames, sound)


def _span(container: Any) -> tuple[float, float] | None:
    """Seconds of the file in which its sound tracks begin and end; None where their headers do not say."""
    import av

    origin = (container.start_time or 0) / av.time_base
    spans = []
    for track in container.streams.audio:
        if track.start_time is None or not track.duration:
            return None
        begin = float(track.start_time * track.time_base) - origin
        spans.append((max(begin, 0.0), begin + float(track.duration * track.time_base)))
    return min(begin for begin, _ in spans), max(end for _, end in spans)
