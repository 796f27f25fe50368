"""Transcripts with times: SubRip (.srt) and WebVTT (.vtt) files."""

import re
from pathlib import Path

from cmarr.corpora.transcripts import read_text

ENDINGS = (".srt", ".vtt")

Line = tuple[str, float, float]
"""What is said, and from which second to which."""

_STAMP = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"^\s*{_STAMP}\s*-->\s*{_STAMP}")
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


def read_captions(path: str | Path) -> tuple[Line, ...]:
    """The lines of a caption file, in order of time, without markup; what is no caption is passed over.

    Raises Unreadable for a file that cannot be opened or is far too large for text.
    """
    lines: list[Line] = []
    for block in re.split(r"\n\s*\n", read_text(path)):
        rows = block.split("\n")
        for number, row in enumerate(rows):
            if found := _TIMES.match(row):
                begin, end = _seconds(found.groups()[:4]), _seconds(found.groups()[4:])
                said = " ".join(_MARKUP.sub("", " ".join(rows[number + 1 :])).split())
                if said and begin < end:
                    lines.append((said, begin, end))
                break
    return tuple(sorted(lines, key=lambda line: line[1:]))


def said_between(lines: tuple[Line, ...], begin: float, end: float) -> str:
    """The text of the lines whose middle lies in `begin` <= middle < `end`."""
    return " ".join(text for text, first, last in lines if begin <= (first + last) / 2 < end)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}")
