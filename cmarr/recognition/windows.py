"""Long recordings in windows: the same model, asked again and again along the recording."""

from collections.abc import Mapping
from dataclasses import replace

from cmarr.corpora.captions import said_between
from cmarr.corpora.headers import Header
from cmarr.errors import UserError
from cmarr.media.clips import Failure
from cmarr.utterance import Utterance

SHORTEST = 0.25
"""Share of a window below which what is left at the end of a recording is not asked about."""

MOST = 100_000
"""Windows of one recording; more are a mistake in the unit."""


def check_windows(window: float, hop: float) -> None:
    """Raise UserError for windows that cannot be."""
    if not (0.1 <= window < float("inf") and 0.01 <= hop <= window):
        raise UserError(
            f"windows of {window:g} s every {hop:g} s: a window has at least 0.1 s, a hop 0.01 s and at most a window"
        )


def cut_windows(
    utterance: Utterance, headers: Mapping[str, Header | Failure], window: float, hop: float
) -> list[Utterance]:
    """A recording as windows of `window` seconds, one every `hop` seconds, the last one perhaps shorter.

    Of a transcript with times, each window gets what is said in it; a text without times belongs to no
    window, and is left out. A recording of unknown length, one that cannot be opened and one that is not
    longer than a window stay as they are. Raises UserError for windows that cannot be.
    """
    check_windows(window, hop)
    begin, end = utterance.start or 0.0, _end(utterance, headers)
    if end is None or end - begin <= window:
        return [utterance]
    count = 1 + max(int((end - begin - window) / hop + 1e-9), 0)
    if begin + (count - 1) * hop + window < end - SHORTEST * window:
        count += 1
    if count > MOST:
        raise UserError(f"{utterance.id}: {count} windows, more than {MOST}; take a larger hop")
    cut = []
    for number in range(count):
        first = begin + number * hop
        last = min(first + window, end)
        said = said_between(utterance.words, first, last) or None
        cut.append(replace(utterance, start=first, end=last, text=said))
    return cut


def _end(utterance: Utterance, headers: Mapping[str, Header | Failure]) -> float | None:
    found = [headers.get(path) for path in (utterance.audio, utterance.video) if path]
    lengths = [h.seconds for h in found if isinstance(h, Header) and h.seconds is not None]
    if not lengths and not found and utterance.words:
        lengths = [max(end for _, _, end in utterance.words)]
    if not lengths:
        return None
    return max(lengths) if utterance.end is None else min(max(lengths), utterance.end)
