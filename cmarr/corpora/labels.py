"""Class names: one vocabulary for all corpora, and the classes a task keeps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cmarr.errors import UserError, many, nearest
from cmarr.utterance import Utterance

EMOTIONS = (
    "angry",
    "happy",
    "excited",
    "neutral",
    "calm",
    "sad",
    "frustrated",
    "fearful",
    "disgust",
    "surprised",
    "other",
)
"""What readers call the emotions, whatever their corpus calls them, so that corpora can be crossed."""


SENTIMENTS = ("negative", "neutral", "positive")
"""What readers call the sign of a score."""


def sentiment(score: float) -> str:
    """The one of `SENTIMENTS` that a score has."""
    return SENTIMENTS[1 + (score > 0) - (score < 0)]


Unlabelled = Literal["leave_out", "learn"]
"""What becomes of utterances without a label: left out, or learnt from by losses that need none."""


@dataclass(frozen=True)
class Selection:
    """What a task keeps of a corpus: utterances per class, and what was left out and why.

    `per_class` is empty in a regression task; `dropped` counts by label; `unlabelled` had no label
    (regression: no score), and are among the `kept` where they are `learnt_from`.
    """

    kept: int
    per_class: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    learnt_from: bool = False

    def __str__(self) -> str:
        parts = [many(self.kept, "utterance") + " kept"]
        if self.per_class:
            parts[0] += " (" + ", ".join(f"{name} {n}" for name, n in self.per_class.items()) + ")"
        if self.dropped:
            counts = ", ".join(f"{name} {n}{self._hint(name)}" for name, n in self.dropped.items())
            parts.append(f"{sum(self.dropped.values())} of other classes left out ({counts})")
        if self.unlabelled:
            what = "kept to learn from" if self.learnt_from else "left out"
            parts.append(f"{self.unlabelled} without a label {what}")
        return "; ".join(parts)

    def _hint(self, label: str) -> str:
        near = nearest(label.lower(), self.per_class, 0.75)
        return f", perhaps meant as {near}" if near else ""


def select_labels(
    utterances: Sequence[Utterance],
    classes: Sequence[str],
    merge: Mapping[str, str] | None = None,
    unlabelled: Unlabelled = "leave_out",
) -> tuple[list[Utterance], Selection]:
    """Keep the utterances of a task's `classes`, after `merge` (label -> class, as excited -> happy).

    Without `classes` the task is the regression of a score, and utterances with a score are kept; with `unlabelled` set
    to learn, those without a label are kept, too.
    Raises UserError for a merge that leads outside the classes and for a class no utterance has.
    """
    learn = unlabelled == "learn"
    if not classes:
        scored = [u for u in utterances if u.score is not None]
        if not scored:
            raise UserError("task: no utterance has a score; for a corpus of class labels set classes")
        kept = list(utterances) if learn else scored
        return kept, Selection(len(kept), unlabelled=len(utterances) - len(scored), learnt_from=learn)
    merge = dict(merge or {})
    for source, target in merge.items():
        if target not in classes or source in classes:
            wrong = f"{target!r} is not among" if target not in classes else f"{source!r} is itself among"
            raise UserError(f"merge: {source} -> {target}: {wrong} the classes {', '.join(classes)}")
    merged = [replace(u, label=merge.get(u.label or "", u.label)) for u in utterances]
    kept = [u for u in merged if u.label in classes or (learn and u.label is None)]
    counts = Counter(u.label for u in merged)
    for name in classes:
        if not counts[name]:
            found = ", ".join(f"{n} ({counts[n]})" for n in sorted(n for n in counts if n)) or "no labels"
            raise UserError(f"classes: no utterance is labelled {name!r}; this corpus has {found}")
    dropped = {name: n for name, n in sorted(counts.items(), key=str) if name and name not in classes}
    return kept, Selection(len(kept), {name: counts[name] for name in classes}, dropped, counts[None], learn)
