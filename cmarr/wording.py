"""Numbers and lists as a sentence says them."""

from collections.abc import Sequence


def many(count: int, noun: str, plural: str = "") -> str:
    """'1 file', '2 files', '5,531 utterances'; `plural` where an s will not do."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
