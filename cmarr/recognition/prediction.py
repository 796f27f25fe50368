"""What is predicted for a clip, or why nothing is, and how that is written: a table, JSON Lines, Parquet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from cmarr.modalities import NAMES
from cmarr.seals import write_table
from cmarr.utterance import holds_half

FORMATS = ("table", "jsonl", "parquet")
FORMAT_OF_ENDING = {
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "table",
}


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one clip, or for one window of a recording.

    probabilities: class -> probability, in the order of the classes; empty in regression
    winner:        the likeliest class; None in regression
    score:         the predicted score of a regression, else None
    uncertainty:   0 (sure) to 1 (guessing): the method's own, or the entropy of the probabilities divided
                   by that of the uniform distribution; None where the method does not know
    used:          modalities ('speech', 'video', 'text') that the prediction rests on
    recovered:     modalities that were missing, and that the method reconstructed from the others
    missing:       modality -> why it was not used
    warnings:      what casts doubt on the prediction, in sentences
    start, end:    seconds of the recording that were read; None: from its beginning, to its end
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
        own = {name: getattr(self, name) for name in ("winner", "score", "uncertainty")}
        lists = {"used": list(self.used), "recovered": list(self.recovered)}
        return _record(self, probabilities=dict(self.probabilities), **own, **lists)

    def __str__(self) -> str:
        best = self.probabilities.get(self.winner or "", 0.0)
        what = f"score {self.score:.2f}" if self.winner is None else f"{self.winner} {best:.2f}"
        doubt = "" if self.uncertainty is None else f", uncertainty {self.uncertainty:.2f}"
        recovered = f"; recovered {', '.join(self.recovered)}" if self.recovered else ""
        return f"{what}{doubt} (from {', '.join(self.used)}{recovered})"


@dataclass(frozen=True)
class Refusal:
    """A clip for which nothing can be predicted, and why, in a sentence."""

    id: str
    reason: str
    missing: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same keys as a prediction's; `refused` holds the reason."""
        return _record(self, refused=self.reason)

    def __str__(self) -> str:
        return f"refused: {self.reason}"


Result = TypeVar("Result", bound=Prediction | Refusal)


def _record(result: Prediction | Refusal, **own: Any) -> dict[str, Any]:
    return {
        "id": result.id,
        "start": result.start,
        "end": result.end,
        "winner": None,
        "score": None,
        "probabilities": {},
        "uncertainty": None,
        "used": [],
        "recovered": [],
        "missing": dict(result.missing),
        "warnings": list(result.warnings),
        "refused": None,
    } | own


def without_place(result: Result, place: str, word: str) -> Result:
    """The same with `word` for every `place` in its sentences: where a temporary file lay is nobody's business."""
    changes: dict[str, Any] = {
        "id": result.id.replace(place, word),
        "missing": {modality: reason.replace(place, word) for modality, reason in result.missing.items()},
        "warnings": tuple(sentence.replace(place, word) for sentence in result.warnings),
    }
    if isinstance(result, Refusal):
        changes["reason"] = result.reason.replace(place, word)
    return replace(result, **changes)


def printable(path: object) -> str:
    """A path as text that can be printed and stored: bytes that are no UTF-8, and control codes, escaped."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(results: Sequence[Prediction | Refusal], classes: Sequence[str]) -> str:
    """Columns lined up, one row a clip; warnings and refusals below, once each.

    '-' marks a modality that was missing, '~' one that was missing and recovered.
    """
    timed = any(r.start is not None or r.end is not None for r in results)
    header = ["clip", *(["seconds"] if timed else []), "winner" if classes else "score"]
    header += [*classes, "doubt", "s v t"]
    rows = [[_name(r), *([_span(r)] if timed else []), *_cells(r, classes)] for r in results]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    clips_of: dict[str, list[str]] = {}
    for result in results:
        clip = " ".join(filter(None, (_name(result), _span(result))))
        for sentence in [str(result)] if isinstance(result, Refusal) else result.warnings:
            clips_of.setdefault(printable(sentence), []).append(clip)
    for sentence, clips in clips_of.items():
        more = f" and {len(clips) - 2} more" if len(clips) > 2 else ""
        lines.append(f"! {', '.join(clips[:2])}{more}: {sentence}")
    return "\n".join(lines)


def write_parquet(path: str | Path, results: Iterable[Prediction | Refusal], classes: Sequence[str]) -> None:
    """One row a clip, `p_<class>` columns as in predictions files; written atomically."""
    import pyarrow as pa

    text, words, number = pa.string(), pa.list_(pa.string()), pa.float64()
    columns = {"id": text, "start": number, "end": number, "winner": text, "score": number}
    columns |= {f"p_{name}": number for name in classes}
    columns |= {"uncertainty": number, "used": words, "recovered": words}
    columns |= {"missing": pa.map_(text, text), "warnings": words, "refused": text}
    rows = []
    for result in results:
        row = result.as_dict()
        row |= {f"p_{name}": row["probabilities"].get(name) for name in classes}
        id = printable(result.id) if holds_half(result.id) else result.id
        rows.append(row | {"id": id, "missing": list(row["missing"].items())})
    write_table(path, pa.Table.from_pylist(rows, pa.schema(columns)), compression="zstd")


def _name(result: Prediction | Refusal) -> str:
    name = printable(result.id)
    return name if len(name) <= 48 else f"...{name[-45:]}"


def _span(result: Prediction | Refusal) -> str:
    if result.start is None and result.end is None:
        return ""
    end = "" if result.end is None else f"{result.end:.1f}"
    return f"{result.start or 0.0:.1f}-{end}"


def _cells(result: Prediction | Refusal, classes: Sequence[str]) -> list[str]:
    if isinstance(result, Refusal):
        return ["refused", *["" for _ in classes], "", "- - -"]
    what = result.winner if classes else f"{result.score:.3f}"
    doubt = "" if result.uncertainty is None else f"{result.uncertainty:.2f}"
    marks = [
        letter if name in result.used else "~" if name in result.recovered else "-"
        for letter, name in NAMES.items()
    ]
    return [str(what), *(f"{result.probabilities[name]:.2f}" for name in classes), doubt, " ".join(marks)]
