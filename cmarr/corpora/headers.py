"""What the headers of media files say. Opened in worker processes: a header alone can crash a decoder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.errors import Unreadable
from cmarr.media.clips import Failure, require_file
from cmarr.media.workers import decode
from cmarr.progress import progress

SOUND = (".wav", ".flac", ".ogg", ".aif", ".aiff")
FILM = (".mp4", ".avi", ".flv", ".mkv", ".mov", ".webm", ".mp3", ".m4a")
_GROUP = 8
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class MediaFile:
    """A file whose header is asked for."""

    path: str


@dataclass(frozen=True)
class Header:
    """Length in seconds (None: the header does not say), and which tracks the file has."""

    seconds: float | None
    audio: bool
    video: bool


def is_media(path: str | None) -> bool:
    """True for a path that ends like a sound or video file."""
    return path is not None and Path(path).suffix.lower() in (*SOUND, *FILM)


def read_headers(
    paths: Iterable[str], workers: int = 1, seconds: float = 10.0
) -> dict[str, Header | Failure]:
    """Path -> its header, or why it cannot be opened; nothing is decoded. `seconds` limits one file."""
    files = [MediaFile(path) for path in dict.fromkeys(paths)]
    groups: Any = (files[i : i + _GROUP] for i in range(0, len(files), _GROUP))
    answers = progress(decode(Opener, groups, workers, seconds), "media headers", "file", len(files))
    return {file.path: answer for file, answer in zip(files, answers, strict=True)}


class Opener:
    """What runs in the worker: files to their headers."""

    def __call__(self, files: Sequence[Any]) -> list[Header | Failure]:
        """One answer a file; one that cannot be opened costs none of the others."""
        return [self._answer(file.path) for file in files]

    def _answer(self, path: str) -> Header | Failure:
        try:
            require_file(path)
            with Path(path).open("rb") as opened:
                if opened.read(len(_POINTER)) == _POINTER:
                    return Failure(f"{path} is a pointer of Git LFS and not the file; run `git lfs pull`")
            return _sound(path) if path.lower().endswith(SOUND) else _film(path)
        except Unreadable as error:
            return Failure(str(error))
        except Exception as error:  # whatever a damaged header makes of the libraries
            reason = (str(error) or type(error).__name__).splitlines()[0].removesuffix(".")
            reason = reason.removeprefix(f"Error opening {path!r}: ")
            return Failure(f"{path} cannot be opened ({reason}); fetch it again")


def _sound(path: str) -> Header | Failure:
    import soundfile

    header = soundfile.info(path)
    if not header.frames:
        return Failure(f"{path} holds no sound; fetch it again")
    return Header(header.frames / header.samplerate, audio=True, video=False)


def _film(path: str) -> Header | Failure:
    import av

    with av.open(path, metadata_errors="ignore") as container:
        audio, video = bool(container.streams.audio), bool(container.streams.video)
        if not audio and not video:
            return Failure(f"{path} holds neither sound nor video; fetch it again")
        return Header(container.duration / av.time_base if container.duration else None, audio, video)
