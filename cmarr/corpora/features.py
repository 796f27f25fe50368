"""Features made elsewhere: a table of utterances, and a file or folder of arrays for each modality.

    utterances.csv (or .parquet)   id, and what is known of label, score, speaker, session, split, dialogue, sex, text
    speech.npz, video/, text.h5    arrays as in `cmarr.corpora.arrays`, found by name

Columns and arrays that mean nothing here are passed over; an utterance without an array lacks that modality.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cmarr.budgets import real
from cmarr.corpora.arrays import (
    ENDINGS,
    Arrays,
    arrays_digest,
    open_arrays,
)
from cmarr.corpora.clips import COLUMNS, TABLES, WORDS, cells_of_nothing, empty_columns, wrong_cells
from cmarr.corpora.expected import Finding
from cmarr.corpora.inventory import chosen_file, corpus_files
from cmarr.corpora.parquet import column_names, read_cells
from cmarr.corpora.text_files import cell_text, read_table, read_text, separated
from cmarr.declaration import Number, Section, setting
from cmarr.encoders.protocol import NOTHING, answered
from cmarr.errors import UserError, many
from cmarr.media.clips import Failure, require_whole
from cmarr.modalities import MODALITIES, NAMES
from cmarr.utterance import FeatureSequence, Rejected, Utterance, readable

READER = "features"

LAYOUT = (
    "a table utterances.csv (or .parquet) with id and label or score, and arrays called speech, video, text"
)

NAMED = {
    "s": ("speech", "audio", "acoustic", "a"),
    "v": ("video", "vision", "visual", "face", "v"),
    "t": ("text", "language", "words", "t", "l"),
}
"""What the arrays of a modality may be called, the first found counts."""

_KEPT = tuple(c for c in COLUMNS if c not in ("audio", "video", "start", "end", "crop"))
_NUMBERS = ("score",)
_UNREAD = (".pkl", ".pickle", ".mat", ".pt", ".pth", ".arff", ".json")
"""Endings of files that others keep arrays in."""
LISTED = 20
"""Columns and files that are passed over of which each is named."""
SHOWN = 2000
"""Utterances that are looked through for numbers that may stand for nothing."""
OUTSIDE = "names what lies outside the corpus' folder; put it there"


class Options(Section):
    """Which files there are, and what rows mean that hold nothing."""

    table: str | None = setting(None, "the table, where the root holds several")
    speech: str | None = setting(
        None, "file or folder of arrays inside the root; by default one of that name"
    )
    video: str | None = setting(None, "as speech")
    text: str | None = setting(None, "as speech")
    sentinels: tuple[Number, ...] = setting(
        (), "numbers that stand for nothing, as [255, -255]: a step that holds one of them is as one of zeros"
    )
    zeros: Literal["absent", "error", "keep"] = setting(
        "absent",
        "steps of zeros alone: absent = they are left out, and without another step the modality is not available; "
        "error = they cost the utterance this modality, and count in max_rejected; keep = they are features",
    )
    labels: tuple[str, ...] = setting((), "[]: any; else rows with other labels are rejected")


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """Read the table; an utterance has the modalities that it has an array of.

    A row with a cell that cannot be what its column holds is rejected. Raises UserError for a table or arrays that
    cannot be read, a row without an id, and an id that appears twice.
    """
    path, rows = _table(root, options)
    held = {
        m: (place, set(_arrays(root, m, options, rows).shapes()))
        for m, place in _places(root, options).items()
    }
    if not held:
        others = [p.name for p in _others(root, options, held={}) if p.suffix.lower() in _UNREAD]
        hint = f"; {others[0]} is none of {', '.join(ENDINGS)}: save it as one of them" if others else ""
        raise UserError(f"{path.parent} holds no arrays; expected {LAYOUT}{hint}")
    utterances: list[Utterance] = []
    rejected: list[Rejected] = []
    for place, row in rows:
        id = row["id"]
        wrong = wrong_cells(row, options.labels)
        if wrong:
            rejected.append(Rejected(id, None, "prepare", f"{path.name}, {place}: {wrong}"))
            continue
        cells: dict[str, Any] = {**row}
        cells |= {k: float(row[k]) for k in _NUMBERS if k in row}
        cells |= {k: words[row[k].lower()] for k, words in WORDS.items() if k in row}
        sources = {m: str(place) for m, (place, names) in held.items() if id in names}
        if not sources:
            has = ", ".join(f"{at.name} has {min(names, default='none')!r}" for at, names in held.values())
            reason = f"{path.name}, {place}: no array is called {id!r} ({has}); give row and array one id"
            rejected.append(Rejected(id, None, "prepare", reason))
            continue
        cells["text"] = row.get("text", "") if "t" in sources else None
        utterances.append(Utterance(**cells, audio=sources.get("s"), video=sources.get("v")))
    return utterances, rejected


def files(root: Path, options: Options) -> list[Path]:
    """The table and the arrays."""
    found = [_table_file(root, options)]
    for place in _places(root, options).values():
        found += corpus_files(place, {".npy"}) if place.is_dir() else [place]
    return found


def features(root: Path, modality: str, options: Options) -> "ArrayFeatures":
    """The features of one modality ('s', 'v', 't'), as an encoder."""
    place = _places(root, options).get(modality)
    if place is None:  # then no utterance has the modality
        return ArrayFeatures(modality, None, None, options)
    _, rows = _table(root, options)
    return ArrayFeatures(modality, place, _arrays(root, modality, options, rows), options)


def findings(root: Path, utterances: Sequence[Utterance], options: Options) -> list[Finding]:
    """What the arrays hold: widths, utterances of another shape or without an array, steps that hold nothing."""
    path, rows = _table(root, options)
    found = cells_of_nothing(Counter(c for _, row in _cells(path) for c in empty_columns(row, path.parent)))
    for modality, place in _places(root, options).items():
        encoder = ArrayFeatures(modality, place, _arrays(root, modality, options, rows), options)
        known = [u for u in utterances if u.id in encoder.shapes]
        found.append(
            Finding(
                "ok",
                f"{place.name}: {NAMES[modality]} of {len(known)} of {len(utterances)} utterances, "
                f"{encoder.dim} columns",
            )
        )
        unknown = len(encoder.shapes.keys() - {u.id for u in utterances})
        if unknown:
            found.append(
                Finding("note", f"{place.name}: {many(unknown, 'array')} of no utterance of the table")
            )
        found += _judged(encoder, known)
    places = _places(root, options)
    lacking = [NAMES[m] for m in MODALITIES if m not in places]
    if lacking:
        found.append(
            Finding("note", f"no arrays of {' and '.join(lacking)}", "the modality is absent everywhere")
        )
    columns = [c for c in _columns(path) if c not in (*_KEPT, *(_column(m, [c]) for m in MODALITIES))]
    left = [f"the column {column or 'without a heading'}" for column in columns]
    if left := [*left, *(other.name for other in _others(root, options, places))]:
        more = f" and {len(left) - LISTED} more" if len(left) > LISTED else ""
        found.append(Finding("note", f"passed over: {', '.join(left[:LISTED])}{more}"))
    return found


def _others(root: Path, options: Options, held: Mapping[str, Path]) -> list[Path]:
    """Files that lie beside the table and may be meant for arrays, and are not read."""
    table = _table_file(root, options)
    kept = {table, *held.values()}
    return sorted(
        p for p in table.parent.iterdir() if p.suffix.lower() in (*ENDINGS, *_UNREAD) and p not in kept
    )


def _judged(encoder: "ArrayFeatures", known: Sequence[Utterance]) -> list[Finding]:
    results = list(encoder.encode(known))
    reasons = [r for r in results if isinstance(r, Rejected)]
    absent = [r for r in reasons if r.reason.startswith(NOTHING)]
    failed = [r for r in reasons if not r.reason.startswith(NOTHING)]
    found, name = [], NAMES[encoder.modality]
    if absent:
        text = f"{name}: {len(absent)} of {len(known)} utterances hold nothing but zeros or sentinels"
        advice = "the modality is not available for them; options.zeros says what zeros mean"
        found.append(Finding("note", text, advice))
    if failed:
        first = f"{failed[0].id}: {failed[0].reason}"
        text = f"{name} of {len(failed)} of {len(known)} utterances cannot be used, as {first}"
        advice = "they are quarantined; max_rejected says how many may be"
        found.append(Finding("warning", text, advice))
    frames = [r.frames for r in results[:SHOWN] if isinstance(r, FeatureSequence) and r.frames.shape[1] > 1]
    constant = {float(v) for f in frames for v in f[(f == f[:, :1]).all(1), 0] if v}
    if constant:
        values = ", ".join(f"{v:g}" for v in sorted(constant)[:3])
        text = f"{NAMES[encoder.modality]}: steps hold one number throughout ({values})"
        found.append(Finding("warning", text, "if that stands for nothing, name it in options.sentinels"))
    return found


@dataclass
class ArrayFeatures:
    """Hands out the arrays of one modality, one sequence an utterance.

    `times` counts the steps as they lie in the array. The width D is that of most utterances; another shape, NaN and
    infinity cost the utterance this modality. A step of NaN alone is one of zeros.
    """

    modality: str
    place: Path | None
    arrays: Arrays | None
    options: Options

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Id -> shape of its array."""
        return self.arrays.shapes() if self.arrays else {}

    @cached_property
    def dim(self) -> int:
        """Width D."""
        widths = [shape[1] for shape in self.shapes.values() if len(shape) == 2 and shape[1]]
        return max(sorted(set(widths)), key=widths.count) if widths else 0

    def describe(self) -> dict[str, str]:
        """Where the features come from: the file, and the SHA-256 of its content as revision."""
        told = f"zeros={self.options.zeros} sentinels={','.join(f'{s:g}' for s in self.options.sentinels)}"
        return {
            "encoder": READER,
            "revision": arrays_digest(self.place) if self.place else "absent",
            "file": self.place.name if self.place else "",
            "parameters": told,
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One result an utterance, in order: its frames (T, D) float32, or why there are none."""
        fits = [u.id for u in utterances if self._misfit(u.id) is None]
        arrays = self.arrays.read(fits) if self.arrays else iter(())
        for utterance in utterances:
            result = self._misfit(utterance.id) or self._frames(utterance.id, next(arrays))
            yield answered(utterance.id, self.modality, result)

    def _misfit(self, id: str) -> str | None:
        name = self.place.name if self.place else "the corpus"
        if id not in self.shapes:
            return f"{name} holds no array of it"
        shape = self.shapes[id]
        if not shape:
            found = (
                next(self.arrays.read([id])) if self.arrays and self.place and self.place.is_dir() else None
            )
            return (
                found.reason
                if isinstance(found, Failure)
                else f"its array in {name} is no whole one of numbers"
            )
        if len(shape) == 2 and not shape[1]:
            return f"its array in {name} has the shape {shape} and holds no feature"
        if len(shape) != 2 or shape[1] != self.dim:
            return f"its array in {name} has the shape {shape}, not (T, {self.dim})"
        return None

    def _frames(self, id: str, frames: np.ndarray | Failure) -> FeatureSequence | str:
        if isinstance(frames, Failure):
            return frames.reason
        nothing = np.isnan(frames).all(1) | np.isin(frames, np.array(self.options.sentinels, np.float32)).any(
            1
        )  # (T,)
        if self.options.zeros != "keep":
            nothing |= ~frames.any(1)
        if nothing.any() and self.options.zeros == "error":
            return f"{nothing.sum()} of its {len(frames)} steps hold nothing but zeros or sentinels"
        steps = np.flatnonzero(~nothing)
        if not len(steps):
            return f"{NOTHING}: its array holds no step but of zeros or sentinels"
        bad = frames[steps].size - int(np.isfinite(frames[steps]).sum())
        if bad:
            return f"{bad} of its {frames.size} values are NaN or infinite"
        return FeatureSequence(id, frames[steps], steps.astype(np.float32))


def _places(root: Path, options: Options) -> dict[str, Path]:
    """Modality -> its file or folder of arrays, of those that are there."""
    folder = root if root.is_dir() else root.parent
    found = {}
    for modality in MODALITIES:
        named = getattr(options, NAMES[modality])
        if named is not None:
            place = folder / named
            if not place.exists():
                raise UserError(
                    f"{place} does not exist; options.{NAMES[modality]} names arrays inside the root"
                )
            if not real(place).is_relative_to(real(folder)):
                raise UserError(f"options.{NAMES[modality]}: {named} {OUTSIDE}")
            found[modality] = place
            continue
        for name in NAMED[modality]:
            places = [folder / f"{name}{ending}" for ending in ("", *ENDINGS)]
            there = [p for p in places if p.is_dir() or (p.suffix and p.is_file())]
            if len(there) > 1:
                what = NAMES[modality]
                raise UserError(
                    f"{there[0]} and {there[1]}: two sources of {what}; name one with options.{what}"
                )
            if there:
                found[modality] = there[0]
                break
    table = _table_file(root, options)
    if table.suffix.lower() == ".parquet":  # the arrays may stand in the table
        columns = column_names(table)
        found |= {m: table for m in MODALITIES if m not in found and _column(m, columns)}
    return found


def _column(modality: str, columns: Sequence[str]) -> str:
    """The column of a table that holds the arrays of a modality; the transcript's is called text, too."""
    names = NAMED[modality] if modality != "t" else ("text_features", *NAMED["t"][1:])
    return next((name for name in names if name in columns), "")


def _arrays(
    root: Path, modality: str, options: Options, rows: Sequence[tuple[str, dict[str, str]]]
) -> Arrays:
    place = _places(root, options)[modality]
    column = ""
    if place.suffix.lower() == ".parquet":
        column = _column(modality, column_names(place))
    return open_arrays(place, [row["id"] for _, row in rows], column)


def _table_file(root: Path, options: Options) -> Path:
    if root.is_file():
        return root
    tables = [p for p in corpus_files(root, TABLES) if p.parent == root]
    named = [p for p in tables if p.stem in ("utterances", "manifest", "labels")]
    others = [p for p in tables if p.stem not in {name for names in NAMED.values() for name in names}]
    return chosen_file(root, "table", options.table, named[:1] or others, "tables", LAYOUT)


def _columns(path: Path) -> list[str]:
    """The headings of a table."""
    if path.suffix.lower() == ".parquet":
        return column_names(path)
    content, delimiter, _ = separated(read_text(path, table=True))
    return next(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter), [])


def _cells(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Of each row its place ('line 3') and its cells that are not empty, of columns that mean something."""
    require_whole(path)
    if path.suffix.lower() == ".parquet":
        columns, cells = read_cells(path, _KEPT)
        if "id" not in columns:
            raise UserError(f"{path}: no column id; expected {LAYOUT}")
        found = ((f"row {n}", row) for n, row in enumerate(cells, 1))
    else:
        found = ((f"line {n}", dict(row)) for n, row in read_table(path, ["id"], f"expected {LAYOUT}"))
    for place, row in found:
        said = {c: v for c in _KEPT if (v := row.get(c)) is not None and v == v}
        yield place, {c: told for c, v in said.items() if (told := cell_text(v))}


def _table(root: Path, options: Options) -> tuple[Path, list[tuple[str, dict[str, str]]]]:
    """The table, and of each row its place and its cells that say something."""
    path = _table_file(root, options)
    rows: list[tuple[str, dict[str, str]]] = []
    places: dict[str, str] = {}
    for place, cells in _cells(path):
        for column in empty_columns(cells, path.parent):
            del cells[column]
        if "id" not in cells:
            raise UserError(f"{path}, {place}: no id; every row needs one of its own")
        if cells["id"] in places:
            raise UserError(
                f"{path}: the id {cells['id']} appears twice, in {places[cells['id']]} and in {place}"
            )
        places[cells["id"]] = place
        cells |= {c: readable(cell).strip() for c, cell in cells.items() if c not in ("id", "text")}
        rows.append((place, cells))
    return path, rows
