"""The three modalities and the seven conditions, in the papers' notation.

A *condition* is the set of modalities that may be used. Availability (the modality exists for this
utterance) and masks (a protocol hides an existing modality) are two different things; a modality is
*usable* when it is available and not hidden.
"""

MODALITIES = ("s", "v", "t")
"""Speech, video, text: the order of every `(B, 3)` availability and visibility tensor."""

NAMES = {"s": "speech", "v": "video", "t": "text"}
LETTERS = {name: letter for letter, name in NAMES.items()}

INCOMPLETE = ("t", "s", "v", "vt", "sv", "st")
"""The six incomplete conditions, whose mean score is avg6 (CM-ARR, Table 2)."""

COMPLETE = "svt"
CONDITIONS = (*INCOMPLETE, COMPLETE)
"""All seven conditions, in the order of the paper's tables; their mean score is avg7."""

CONDITION_OF = {frozenset(condition): condition for condition in CONDITIONS}
"""Set of modalities -> the condition that it is."""


def visible(condition: str) -> tuple[bool, bool, bool]:
    """Which modalities, in the order of `MODALITIES`, a condition lets a method use."""
    unknown = set(condition) - set(MODALITIES)
    if unknown or not condition:
        raise ValueError(f"condition {condition!r} is not a non-empty set of the letters s, v and t")
    return tuple(letter in condition for letter in MODALITIES)  # type: ignore[return-value]
