"""Transcripts with times: caption files, by the grammar of pysubs2."""

import html
import re
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cmarr.corpora.text_files import read_text
from cmarr.extras import extra

ENDINGS = (".ssa", ".ass", ".srt", ".vtt")
"""Of caption files, the most telling last."""

Line = tuple[str, float, float]
"""What is said, and from which second to which."""

_STAMP = r"(?:(\d{1,2}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}")
_CLOCK = re.compile(r"\d:\d{1,2}[.,]\d")
_MARKUP = re.compile(r"</?[a-zA-Z0-9][^<>]*>|\{[^{}]*\}")
_BRACES = str.maketrans("", "", "{}")
_REMARK = re.compile(r"(NOTE|STYLE|REGION)\b")
_LONG = 2000
"""Characters of a row that no caption has; the library takes the square of its time for the braces in it."""


def read_captions(path: str | Path, note: Callable[[str], None] = lambda sentence: None) -> tuple[Line, ...]:
    """The lines of a caption file, in order of time, without markup; what is no caption is passed over.

    SubRip, WebVTT and Advanced SubStation, told by their content. `note` as in `read_text`. Raises Unreadable for a
    file that cannot be opened or is far too large for text.
    """
    with extra("media"):
        import pysubs2

    text = read_text(path, note)
    substation = text.find("[Events]")
    if substation >= 0:
        rows = text[substation:].split("\n")
        kind, plain = "ass", "\n".join(row if len(row) < _LONG else row.translate(_BRACES) for row in rows)
    else:
        kind, plain = "srt", "\n".join(_subrip(text.split("\n")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of margins and colours
        try:
            events = pysubs2.SSAFile.from_string(plain, format_=kind, keep_html_tags=True)
        except (ValueError, KeyError, IndexError, pysubs2.exceptions.Pysubs2Error):
            return ()
    lines = (
        (" ".join(html.unescape(event.plaintext).split()), event.start / 1000, event.end / 1000)
        for event in events
        if event.is_text
    )
    return tuple(sorted((x for x in lines if x[0] and x[1] < x[2]), key=lambda line: line[1:]))


def _subrip(rows: Sequence[str]) -> Iterator[str]:
    """The rows of a SubRip or WebVTT file as the library wants them: hours in all times, and a number above them.

    It takes whatever stands below a time for what is said: remarks, the name of the next caption, and the number of
    the next one where the blank line between them was lost. Rows of nothing, of which it takes the square of the
    time, are left out.
    """
    times = [_TIMES.match(row) for row in rows]
    first = next((i for i, found in enumerate(times) if found), len(rows))
    numbered = first > 0 and rows[first - 1].strip().isdigit()
    blank, passed_over = True, True
    for i, row in enumerate(rows):
        if not row.strip():
            blank, passed_over = True, False
            continue
        if found := times[i]:
            begin, end = (":".join(part or "0" for part in found.groups()[at : at + 3]) for at in (0, 4))
            yield f"\n1\n{begin},{found[4]} --> {end},{found[8]}"
            passed_over = False
        elif blank and _REMARK.match(row):
            passed_over = True
        elif i > first and not passed_over and not _heads(rows, times, i, blank, numbered):
            said = _MARKUP.sub("", row).translate(_BRACES)
            # two times in a row would begin a caption
            yield said if len(_CLOCK.findall(said)) < 2 else said.replace(",", " ").replace(".", " ")
        blank = False
    yield "\n1"


def _heads(
    rows: Sequence[str], times: Sequence[re.Match[str] | None], i: int, blank: bool, numbered: bool
) -> bool:
    """Whether a row is the name or the number of the caption below it."""
    if i + 1 >= len(rows) or not times[i + 1]:
        return False
    return blank or (numbered and rows[i].strip().isdigit())


@dataclass(frozen=True)
class Said:
    """What is said when. A line belongs to where its middle lies."""

    lines: tuple[Line, ...]

    @cached_property
    def _in_order(self) -> list[tuple[float, int]]:
        return sorted(((first + last) / 2, i) for i, (_, first, last) in enumerate(self.lines))

    def between(self, begin: float, end: float) -> tuple[Line, ...]:
        """The lines whose middle lies in `begin` <= middle < `end`, in their order."""
        ordered = self._in_order
        found = ordered[bisect_left(ordered, (begin, -1)) : bisect_left(ordered, (end, -1))]
        return tuple(self.lines[i] for _, i in sorted(found, key=lambda pair: pair[1]))


def spoken(lines: Sequence[Line]) -> str:
    """The words of lines, without their times."""
    return " ".join(text for text, _, _ in lines)
