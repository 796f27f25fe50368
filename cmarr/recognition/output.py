"""Answers as text: a table for people, JSON Lines and Parquet for programs."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cmarr.files import atomic
from cmarr.recognition.answer import Answer, Refusal
from cmarr.recognition.inputs import shown

FORMATS = ("table", "jsonl", "parquet")
ENDINGS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "table"}


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
