"""What is said about a clip: an answer, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar


@dataclass(frozen=True)
class Answer:
    """What a model says of one clip, or of one window of a recording.

    probabilities: class -> probability, in the order of the classes; empty in regression
    winner:        the likeliest class; None in regression
    score:         the predicted score of a regression, else None
    uncertainty:   0 (sure) to 1 (guessing): the method's own, or the entropy of the probabilities divided
                   by that of the uniform distribution; None where nobody knows
    used:          modalities ('speech', 'video', 'text') that the answer rests on
    recovered:     modalities that were missing, and that the method reconstructed from the others
    missing:       modality -> why it was not used
    warnings:      what casts doubt on the answer, in sentences
    start, end:    seconds of the recording that it is about; None: its beginning, its end
    """

    id: str
    probabilities: Mapping[str, float]
    winner: str | None
    score: float | None
    uncertainty: float | None
    used: tuple[str, ...]
    recovered: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a line of JSON holds them."""
        return {
            "id": self.id,
            "start": self.start,
            "end": self.end,
            "winner": self.winner,
            "score": self.score,
            "probabilities": dict(self.probabilities),
            "uncertainty": self.uncertainty,
            "used": list(self.used),
            "recovered": list(self.recovered),
            "missing": dict(self.missing),
            "warnings": list(self.warnings),
            "refused": None,
        }

    def __str__(self) -> str:
        sure = self.probabilities.get(self.winner or "", 0.0)
        said = f"score {self.score:.2f}" if self.winner is None else f"{self.winner} {sure:.2f}"
        doubt = "" if self.uncertainty is None else f", uncertainty {self.uncertainty:.2f}"
        rest = f"; recovered {', '.join(self.recovered)}" if self.recovered else ""
        return f"{said}{doubt} (from {', '.join(self.used)}{rest})"


@dataclass(frozen=True)
class Refusal:
    """A clip that nothing can be said about, and why, in a sentence."""

    id: str
    reason: str
    missing: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same keys as an answer's; `refused` holds the reason."""
        return {
            "id": self.id,
            "start": self.start,
            "end": self.end,
            "winner": None,
            "score": None,
            "probabilities": {},
            "uncertainty": None,
            "used": [],
            "recovered": [],
            "missing": dict(self.missing),
            "warnings": list(self.warnings),
            "refused": self.reason,
        }

    def __str__(self) -> str:
        return f"refused: {self.reason}"


Told = TypeVar("Told", bound=Answer | Refusal)


def retold(answer: Told, place: str, word: str) -> Told:
    """The same with `word` for every `place` in its sentences: where a temporary file lay is nobody's business."""
    changes: dict[str, Any] = {
        "id": answer.id.replace(place, word),
        "missing": {modality: reason.replace(place, word) for modality, reason in answer.missing.items()},
        "warnings": tuple(sentence.replace(place, word) for sentence in answer.warnings),
    }
    if isinstance(answer, Refusal):
        changes["reason"] = answer.reason.replace(place, word)
    return replace(answer, **changes)
