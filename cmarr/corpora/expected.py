"""What a corpus should hold, as published, and what a reader noticed beside its utterances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cmarr.utterance import Utterance

UTTERANCES = "utterances"
"""The key under which all utterances are counted, labelled or not."""
UNLABELLED = "no label"
"""The key of utterances without a label (raters did not agree)."""


@dataclass(frozen=True)
class Published:
    """Published counts. A key is a label, several joined by '+', `UTTERANCES` or `UNLABELLED`.

    `title` says what is counted. `groups` hold counts by the value of the utterance's attribute `by`
    ('session' or 'split').
    """

    title: str
    counts: Mapping[str, int]
    by: Literal["session", "split"] | None = None
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def group(self, utterances: Sequence[Utterance], name: str) -> list[Utterance]:
        """The utterances of one group."""
        return [u for u in utterances if self.by and getattr(u, self.by) == name]


@dataclass(frozen=True)
class Finding:
    """One thing found out about a corpus. A 'problem' stops the pipeline, a 'warning' costs data."""

    level: Literal["ok", "note", "warning", "problem"]
    text: str
    advice: str = ""


def counted(utterances: Sequence[Utterance], key: str) -> int:
    """How many utterances a key of `Published` counts."""
    if key == UTTERANCES:
        return len(utterances)
    labels = {None if label == UNLABELLED else label for label in key.split("+")}
    return sum(u.label in labels for u in utterances)


def beside(utterances: Sequence[Utterance], published: Published) -> str:
    """One line: the counts found beside the published ones, 'angry 1103 of 1103, ...'."""
    pairs = (f"{key} {counted(utterances, key)} of {count}" for key, count in published.counts.items())
    return f"{published.title}: {', '.join(pairs)}"
