"""Transcripts with times: caption files, by the grammar of pysubs2."""

import html
import re
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cmarr.corpora.text_files import read_text
from cmarr.extras import extra
from cmarr.utterance import readable

ENDINGS = (".lrc", ".smi", ".sami", ".sub", ".dfxp", ".ttml", ".sbv", ".ssa", ".ass", ".srt", ".vtt")
"""Of caption files, the most telling last."""

Line = tuple[str, float, float]
"""What is said, and from which second to which."""

_STAMP = r"(?:(\d{1,2})\s?:\s?)?(\d{1,2})\s?:\s?(\d{1,2})(?:\s?[.,]\s?(\d{1,3}))?"
_TIMES = re.compile(rf"\s*{_STAMP}\s*(?:(?:-{{1,2}}|[–—])>|,(?=[\d:.]+\s*$))\s*{_STAMP}(?![\d:])")
"""Two times and an arrow, or the comma of YouTube's SBV."""
_NO_TIMES = re.compile(r"[-+\d:.,\s]*\d\s*-->")
"""What stands where two times should, and is none: of 100 hours, or below zero."""
_CLOCK = re.compile(r"\d:\d{1,2}[.,]\d")
_SPOKEN_AT = re.compile(r"<(?:\d{1,2}:)?\d{1,2}:\d{2}\.\d{3}>")
"""The time of a word, as captions have it that were made by a machine; these say each row twice, on its way up."""
_MARKUP = re.compile(r"</?[a-zA-Z0-9][^<>]*>|\{[^{}]*\}")
_BRACES = str.maketrans("", "", "{}")
_REMARK = re.compile(r"(NOTE|STYLE|REGION)\b")
_LYRICS = re.compile(r"((?:\[\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?\])+)(.*)")
_LYRIC_TIME = re.compile(r"\[(\d+):(\d+)(?:[.:](\d+))?\]")
_LONG = 2000
"""Characters of a row that no caption has; the library takes the square of its time for the braces in it."""
_LAST_LYRIC = 4.0
"""Seconds of the last line of a file whose lines have no end."""


def read_captions(path: str | Path, note: Callable[[str], None] = lambda sentence: None) -> tuple[Line, ...]:
    """The lines of a caption file, in order of time, without markup; what is no caption is passed over.

    SubRip, WebVTT, SBV, Advanced SubStation, TTML, SAMI, MicroDVD and lyrics, told by their content. `note` as in
    `read_text`; it is told, too, of a file in which nothing is a caption. Raises Unreadable for a file that cannot be
    opened or is far too large for text.
    """
    text = read_text(path, note)
    lines = captions_of(text)
    if not lines and text.strip():
        note(f"{path} holds no caption whose times can be read; write it as SubRip or WebVTT")
    return lines


def captions_of(text: str) -> tuple[Line, ...]:
    """The lines that `read_captions` gives for a file of this text."""
    said = (line for line in _lines(readable(text)) if line[0] and line[1] < line[2])
    return tuple(sorted(said, key=lambda line: line[1:]))


def holds_captions(text: str) -> bool:
    """Whether a text is that of a SubRip, WebVTT or SBV file, whatever its name."""
    rows = [row for row in readable(text).split("\n") if row.strip()][:3]
    return any(_TIMES.match(row) for row in rows) or bool(rows and rows[0].startswith("WEBVTT"))


def _lines(text: str) -> Iterable[Line]:
    """What is said in a file, in the order in which it stands there."""
    with extra("media"):
        import pysubs2

    kind, plain = _kind(text)
    if kind == "lrc":
        return _lyrics(plain.split("\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of margins and colours
        try:
            events = pysubs2.SSAFile.from_string(plain, format_=kind, keep_html_tags=True)
        except (
            ValueError,
            KeyError,
            IndexError,
            RecursionError,
            OverflowError,
            NotImplementedError,
            SyntaxError,  # of XML
            pysubs2.exceptions.Pysubs2Error,
        ):
            return ()
    return [
        (" ".join(_unescaped(event.plaintext).split()), event.start / 1000, event.end / 1000)
        for event in events
        if event.is_text
    ]


def _kind(text: str) -> tuple[str, str]:
    """The library's name of a file's format, or lrc, and the text as that wants it."""
    head = text[:_LONG].lstrip()
    substation = text.find("[Events]")
    if substation >= 0:
        rows = text[substation:].split("\n")
        return "ass", "\n".join(row if len(row) < _LONG else row.translate(_BRACES) for row in rows)
    if "http://www.w3.org/ns/ttml" in head or "http://www.w3.org/2006" in head:
        named = re.sub(r"http://www\.w3\.org/2006/(?:04|10)/ttaf1", "http://www.w3.org/ns/ttml", text)
        return "ttml", re.sub(r"(\sdur)(?=\s*=)", r"\1ation", named)  # as the library calls it
    if head[:6].upper() == "<SAMI>":
        return "sami", text
    if re.match(r"\{\d+\}\{\d+\}", head):
        return "microdvd", "\n".join(row for row in text.split("\n") if len(row) < _LONG)
    rows = text.split("\n")
    if any(map(_LYRICS.match, rows)) and not any(map(_TIMES.match, rows)):
        return "lrc", text
    return "srt", "\n".join(_subrip(rows))


def _lyrics(rows: Sequence[str]) -> Iterator[Line]:
    """The rows of an LRC file, each of which lasts until the next one begins."""
    begun: list[tuple[float, str]] = []
    for found in filter(None, map(_LYRICS.match, rows)):
        words = " ".join(re.sub(r"<[\d:.]+>", "", found[2]).split())
        for minutes, seconds, rest in _LYRIC_TIME.findall(found[1]):
            begun.append((60 * int(minutes) + float(f"{seconds}.{rest or 0}"), words))
    begun.sort(key=lambda pair: pair[0])
    ends = [begin for begin, _ in begun[1:]] + [begun[-1][0] + _LAST_LYRIC if begun else 0.0]
    for (begin, words), end in zip(begun, ends, strict=True):
        yield words, begin, end


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # of a character whose number has thousands of digits
        return text


def _subrip(rows: Sequence[str]) -> Iterator[str]:
    """The rows of a SubRip, WebVTT or SBV file as the library wants them: whole times, and a number above them.

    It takes whatever stands below a time for what is said: remarks, the name of the next caption, and the number of
    the next one where the blank line between them was lost. Rows of nothing, of which it takes the square of the
    time, are left out.
    """
    filled = [i for i, row in enumerate(rows) if row.strip()]
    blanks = [i == 0 or not rows[i - 1].strip() for i in filled]
    rows = [rows[i] for i in filled]
    times = [_TIMES.match(row) for row in rows]
    heads = [bool(found or _NO_TIMES.match(row)) for row, found in zip(rows, times, strict=True)]
    first = next((i for i, found in enumerate(times) if found), len(rows))
    numbered = first > 0 and rows[first - 1].strip().isdigit()
    rolling = any(map(_SPOKEN_AT.search, rows))
    passed_over, before, now = True, set[str](), set[str]()
    for i, (row, blank) in enumerate(zip(rows, blanks, strict=True)):
        passed_over = passed_over and not blank
        if found := times[i]:
            begin, end = (":".join(part or "0" for part in found.groups()[at : at + 3]) for at in (0, 4))
            yield f"\n1\n{begin},{found[4] or 0} --> {end},{found[8] or 0}"
            passed_over, before, now = False, now, set()
        elif heads[i] or (blank and _REMARK.match(row)):  # times that cannot be read: nobody's words follow
            passed_over = True
        elif (
            i > first
            and not passed_over
            and not _heads(row, heads[i + 1 : i + 2], blanks[i : i + 2], numbered)
        ):
            said = _MARKUP.sub("", _SPOKEN_AT.sub("", row)).translate(_BRACES)
            now.add(said.strip())
            if not (rolling and said.strip() in before):
                # two times in a row would begin a caption
                yield said if len(_CLOCK.findall(said)) < 2 else said.replace(",", " ").replace(".", " ")
    yield "\n1"


def _heads(row: str, following: Sequence[bool], blanks: Sequence[bool], numbered: bool) -> bool:
    """Whether a row is the name or the number of the caption below it."""
    if not any(following):
        return False
    return (blanks[0] and not blanks[1]) or (numbered and row.strip().isdigit())


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
