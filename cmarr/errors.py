"""The errors this package raises on purpose: each speaks to the user."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: what is wrong, where (file, utterance, key), and what to do.

    A stage prints its message as one sentence and exits with status 1; no traceback.
    """


class Unreadable(UserError):
    """One input (a file, a modality of one utterance) that cannot be read.

    Raised by readers and encoders; extraction catches it, quarantines that input with the message as
    its reason and goes on.
    """


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: '; did you mean ...?', or nothing when none is near."""
    close = nearest(word, candidates)
    return f"; did you mean {close!r}?" if close else ""


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.4) -> str | None:
    """The candidate most like a word, if it is at least `cutoff` (0 to 1) alike."""
    names = [str(c) for c in candidates]
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=cutoff)
    if close:
        return close[0]
    small = {name.lower(): name for name in names}  # `uar` has no letter of UAR
    close = difflib.get_close_matches(str(word).lower(), small, n=1, cutoff=cutoff)
    return small[close[0]] if close else None
