"""The errors this package raises on purpose, and the words of which their sentences are made."""

import difflib
import re
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parent
"""What lies below is ours."""

STORES = ("s3:", "gs:", "az:", "memory:")
"""First part of a path that names an object on object storage."""

STAND_FOR: dict[str, str] = {}
"""Temporary copy -> what it is a copy of, which is what the user knows and sentences name."""

_LONG = re.compile(r"\S{500,}")
_HALVED = re.compile(rf"\b({'|'.join(STORES)})/(?=[^/])")  # `pathlib` makes one slash of two


class UserError(Exception):
    """Something the user can put right: what is wrong, where (file, utterance, key), and what to do.

    A stage prints its message as one sentence and exits with status 1; no traceback.
    """

    def __str__(self) -> str:
        """The sentence; of a word of many letters, which a file may hold, its beginning and its end."""
        text = super().__str__()
        for copy, address in STAND_FOR.items():
            text = text.replace(copy, address)
        text = _HALVED.sub(r"\1//", text)
        return _LONG.sub(lambda found: f"{found[0][:300]}...{found[0][-75:]}", text)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the user's own line, and the sentence, and not the way through this package."""
        frames = traceback.extract_tb(self.__traceback__)
        outside = [f for f in frames if not Path(f.filename).is_relative_to(PACKAGE) and f.line]
        asked = [f"line {f.lineno}: {f.line}" for f in outside[-1:]]
        return [*asked, f"{type(self).__name__}: {self}"]


class NotComputed(UserError):
    """A result of a study that is not here, or is of an earlier version. Who runs the study knows how to compute it."""


class NotWhole(UserError):
    """A file of cmarr's own that does not hold what was written, or that nothing vouches for; `path` is that file."""

    def __init__(self, path: object, message: str) -> None:
        super().__init__(message)
        self.path = str(path)

    def __reduce__(self) -> tuple[type["NotWhole"], tuple[str, str]]:
        return type(self), (self.path, str(self))


class Unreadable(UserError):
    """One input (a file, a modality of one utterance) that cannot be read.

    Raised by readers and encoders; extraction catches it, quarantines that input with the message as
    its reason and goes on.
    """


def first_line(error: BaseException) -> str:
    """The first line of what an error says, at most 300 letters of it, or else its kind.

    Libraries quote what they could not read, which may be 64 KB of a damaged archive.

    >>> first_line(ValueError("no number\\nin row 3")), first_line(MemoryError())
    ('no number', 'MemoryError')
    >>> len(first_line(ValueError("x" * 9000)))
    304
    """
    line = (str(error) or type(error).__name__).splitlines()[0]
    return line if len(line) <= 300 else f"{line[:300]} ..."


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: '; did you mean ...?', or nothing when none is near."""
    close = nearest(word, candidates)
    return f"; did you mean {close!r}?" if close else ""


def require_known(name: str, known: Iterable[str], told: str) -> None:
    """Raise UserError, which says what is `told` and what may be meant, for a name that is none of the known ones."""
    if name not in known:
        raise UserError(f"{told}{did_you_mean(name, known)}")


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.4) -> str | None:
    """The candidate most like a word, if it is at least `cutoff` (0 to 1) alike."""
    names = [str(c) for c in candidates]
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=cutoff)
    if close:
        return close[0]
    small = {name.lower(): name for name in names}  # `uar` has no letter of UAR
    close = difflib.get_close_matches(str(word).lower(), small, n=1, cutoff=cutoff)
    return small[close[0]] if close else None


def many(count: int, noun: str, plural: str = "") -> str:
    """'1 file', '2 files', '5,531 utterances'; `plural` where an s will not do."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def percent_text(share: float, digits: int = 0) -> str:
    """A share in percent; what is less than all of it is never rounded up to 100.

    >>> percent_text(0.5), percent_text(0.9999), percent_text(0.99999, 2), percent_text(1.0)
    ('50', '99', '99.99', '100')
    """
    text = f"{100 * share:.{digits}f}"
    return text if share >= 1 or float(text) < 100 else f"{100 - 10**-digits:.{digits}f}"
