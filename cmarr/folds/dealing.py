"""Speakers dealt to groups of about the same size."""

from collections.abc import Sequence


def dealt(sizes: Sequence[int], groups: int) -> list[int]:
    """The group, from 0, of each speaker, of whom `sizes` says how many utterances there are.

    Large ones first, each to the smallest group so far; ties go to the earlier speaker and to the earlier group.

    >>> dealt([5, 3, 2, 1], 2)
    [0, 1, 1, 0]
    """
    found, held = [0] * len(sizes), [0] * groups
    for speaker in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        found[speaker] = held.index(min(held))
        held[found[speaker]] += sizes[speaker]
    return found
