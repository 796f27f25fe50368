"""How large a clip may be. Every limit can be raised; each says so where it bites."""

from dataclasses import dataclass
from pathlib import Path

from cmarr.corpora.headers import Header


@dataclass(frozen=True)
class Limits:
    """Most that one recording may have.

    max_megabytes:  of a media file, or of an array file of features
    max_seconds:    from the beginning to the end of a recording, or of the part that is used
    max_frames:     of the video track of a file
    max_pixels:     of one frame
    max_characters: of a text, or of a transcript's file
    time_limit:     seconds that decoding one clip, or one window, may take; a short one gets less, ten
                    seconds more than it lasts
    """

    max_megabytes: float = 2000.0
    max_seconds: float = 3600.0
    max_frames: int = 250_000
    max_pixels: int = 4096 * 2304
    max_characters: int = 100_000
    time_limit: float = 60.0

    def file(self, path: str | Path) -> str | None:
        """Why a file is too large to be opened at all; None where it is not, or is not there."""
        try:
            megabytes = Path(path).stat().st_size / 1e6
        except OSError:
            return None  # who opens it says so
        if megabytes > self.max_megabytes:
            return _too_much(path, f"has {megabytes:.0f} MB", "max_megabytes", self.max_megabytes)
        return None

    def length(self, path: str | Path, seconds: float | None) -> str | None:
        """Why a recording, or the part of it that is used, is too long."""
        if seconds is not None and seconds > self.max_seconds:
            return _too_much(path, f"lasts {seconds:.0f} s", "max_seconds", self.max_seconds)
        return None

    def picture(self, path: str | Path, header: Header) -> str | None:
        """Why a file's video track is too large."""
        if header.pixels > self.max_pixels:
            return _too_much(path, f"has frames of {header.pixels} pixels", "max_pixels", self.max_pixels)
        if header.frames > self.max_frames:
            return _too_much(path, f"has {header.frames} frames", "max_frames", self.max_frames)
        return None

    def text(self, text: str) -> str | None:
        """Why a text is too long."""
        if len(text) > self.max_characters:
            return _too_much("the text", f"has {len(text)} characters", "max_characters", self.max_characters)
        return None

    def seconds_for(self, longest: float | None) -> float:
        """Seconds that decoding a clip may take whose length (s) is known, or not."""
        return self.time_limit if longest is None else min(self.time_limit, 10.0 + longest)


def _too_much(what: object, has: str, name: str, limit: float) -> str:
    return f"{what} {has}, more than {name} = {limit:g} allows; cut it, or raise {name}"
