"""What a corpus should hold, as published, and what a reader noticed beside its utterances."""

from collections.abc import Collection, Mapping, Sequence
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
    ('session' or 'split'). `holds` are the modalities that the published corpus has ('svt'); '' where what is there may
    well be another corpus, against which nothing is held.
    """

    title: str
    counts: Mapping[str, int]
    by: Literal["session", "split"] | None = None
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    holds: str = ""

    def group(self, utterances: Sequence[Utterance], name: str) -> list[Utterance]:
        """The utterances of one group."""
        return [u for u in utterances if self.by and getattr(u, self.by) == name]


@dataclass(frozen=True)
class Finding:
    """One thing found out about a corpus. A 'problem' stops the pipeline, a 'warning' costs data."""

    level: Literal["ok", "note", "warning", "problem"]
    text: str
    advice: str = ""


_FIVE = (1.0, 5.0)
RANGES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "iemocap": dict.fromkeys(("valence", "arousal", "dominance"), _FIVE),
    "msp_improv": dict.fromkeys(("valence", "arousal", "dominance", "naturalness"), _FIVE),
    "cmu": {"score": (-3.0, 3.0)},
    "mmsa": {"score": (-3.0, 3.0)},
}
"""Kind of corpus -> the least and largest value of its scores and ratings."""


def counted(utterances: Sequence[Utterance], key: str) -> int:
    """How many utterances a key of `Published` counts."""
    if key == UTTERANCES:
        return len(utterances)
    labels = {None if label == UNLABELLED else label for label in key.split("+")}
    return sum(u.label in labels for u in utterances)


def share_here(utterances: Sequence[Utterance], published: Published, classes: Collection[str]) -> float:
    """Which share of the published utterances is here: of those of the task's classes, as far as they are counted."""
    own = [key for key in published.counts if set(key.split("+")) <= set(classes)]
    keys = own or [key for key in published.counts if key == UTTERANCES] or list(published.counts)
    found = sum(min(counted(utterances, key), published.counts[key]) for key in keys)
    return found / max(sum(published.counts[key] for key in keys), 1)


def beside(utterances: Sequence[Utterance], published: Published) -> str:
    """One line: the counts found beside the published ones, 'angry 1103 of 1103, ...'."""
    pairs = (f"{key} {counted(utterances, key)} of {count}" for key, count in published.counts.items())
    return f"{published.title}: {', '.join(pairs)}"
