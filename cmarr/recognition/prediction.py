"""What is predicted for a clip, or why nothing is, and how that is written: a table, JSON Lines, Parquet."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from cmarr.files import atomic


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


FORMATS = ("table", "jsonl", "parquet")
ENDINGS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "table"}


def shown(path: object) -> str:
    """A path as text that can be printed and stored: bytes that are no UTF-8, and control codes, escaped."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def json_lines(answers: Iterable[Answer | Refusal]) -> Iterator[str]:
    """One line an answer, ASCII only, so that no reader can trip over it."""
    for answer in answers:
        yield json.dumps(answer.as_dict(), allow_nan=False)


def table(answers: Sequence[Answer | Refusal], classes: Sequence[str]) -> str:
    """Columns lined up, one row an answer; warnings and refusals below, once each.

    '-' marks a modality that was missing, '~' one that was missing and recovered.
    """
    timed = any(a.start is not None or a.end is not None for a in answers)
    header = ["clip", *(["seconds"] if timed else []), "winner" if classes else "score"]
    header += [*classes, "doubt", "s v t"]
    rows = [[_name(a), *([_span(a)] if timed else []), *_cells(a, classes)] for a in answers]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    told: dict[str, list[str]] = {}
    for answer in answers:
        said = [f"refused: {answer.reason}"] if isinstance(answer, Refusal) else answer.warnings
        for sentence in said:
            told.setdefault(shown(sentence), []).append(
                " ".join(filter(None, (_name(answer), _span(answer))))
            )
    for sentence, who in told.items():
        more = f" and {len(who) - 2} more" if len(who) > 2 else ""
        lines.append(f"! {', '.join(who[:2])}{more}: {sentence}")
    return "\n".join(lines)


def write_parquet(path: str | Path, answers: Iterable[Answer | Refusal], classes: Sequence[str]) -> None:
    """One row an answer, `p_<class>` columns as in predictions files; written atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    words, number = pa.list_(pa.string()), pa.float64()
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("start", number),
            ("end", number),
            ("winner", pa.string()),
            ("score", number),
            *((f"p_{name}", number) for name in classes),
            ("uncertainty", number),
            ("used", words),
            ("recovered", words),
            ("missing", pa.map_(pa.string(), pa.string())),
            ("warnings", words),
            ("refused", pa.string()),
        ]
    )
    rows = []
    for answer in answers:
        row: dict[str, Any] = answer.as_dict()
        given = row.pop("probabilities")
        row |= {f"p_{name}": given.get(name) for name in classes}
        rows.append(row | {"missing": list(row["missing"].items())})
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema), temporary, compression="zstd")


def _name(answer: Answer | Refusal) -> str:
    name = shown(answer.id)
    return name if len(name) <= 48 else f"...{name[-45:]}"


def _span(answer: Answer | Refusal) -> str:
    if answer.start is None and answer.end is None:
        return ""
    end = "" if answer.end is None else f"{answer.end:.1f}"
    return f"{answer.start or 0.0:.1f}-{end}"


def _cells(answer: Answer | Refusal, classes: Sequence[str]) -> list[str]:
    if isinstance(answer, Refusal):
        return ["refused", *["" for _ in classes], "", "- - -"]
    said = answer.winner if classes else f"{answer.score:.3f}"
    doubt = "" if answer.uncertainty is None else f"{answer.uncertainty:.2f}"
    marks = [
        name[0] if name in answer.used else "~" if name in answer.recovered else "-"
        for name in ("speech", "video", "text")
    ]
    return [str(said), *(f"{answer.probabilities[name]:.2f}" for name in classes), doubt, " ".join(marks)]
