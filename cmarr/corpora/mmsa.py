"""Feature pickles in the MMSA layout (CMU-MOSI, CMU-MOSEI and their like).

A dictionary of splits, each a dictionary of columns: `id` ('video$_$clip'), `raw_text`,
`regression_labels`, and features `audio`, `vision`, `text` as (N, T, D), or (N, D) for one vector an
utterance, with `audio_lengths` and `vision_lengths` where they differ.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cmarr.corpora.expected import UTTERANCES, Finding, Published
from cmarr.corpora.inventory import chosen_file, corpus_files
from cmarr.corpora.labels import sentiment
from cmarr.corpora.pickles import unpickled
from cmarr.declaration import Section, setting
from cmarr.encoders.protocol import NO_FACE, NOTHING, answered
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.media.foreign import read_foreign
from cmarr.modalities import NAMES
from cmarr.utterance import FeatureSequence, Rejected, Utterance

READER = "mmsa"

LAYOUT = "an MMSA pickle: train, valid and test, each with id, regression_labels and features"
SPLITS = ("train", "valid", "test")
COLUMNS = {"s": "audio", "v": "vision", "t": "text"}

SIZES = {
    "CMU-MOSI": {"train": 1284, "valid": 229, "test": 686},
    "CMU-MOSEI": {"train": 16326, "valid": 1871, "test": 4659},
}
"""Utterances of the official split."""
RELEASES = {
    "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524": ("CMU-MOSI", "unaligned"),
    "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9": ("CMU-MOSI", "aligned"),
    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": ("CMU-MOSEI", "unaligned"),
    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": ("CMU-MOSEI", "aligned"),
}
"""SHA-256 of the files that MMSA hands out."""

Split = Mapping[str, Any]


class Options(Section):
    """Which pickle is read, and what becomes of values that are no numbers."""

    file: str | None = setting(None, "which pickle, where the root holds several")
    nonfinite: Literal["zero", "reject"] = setting(
        "zero",
        "zero: infinite and NaN audio features count as 0, and are counted; reject: they cost the utterance its audio",
    )
    zeros: Literal["absent", "error"] = setting(
        "absent",
        "features that are zero throughout: absent = the modality is not available; error = it cannot be read, and "
        "counts in max_rejected",
    )


def files(root: Path, options: Options) -> list[Path]:
    """The pickle: `root` itself, the named one in it, or the only .pkl in it. Raises UserError when unclear."""
    found = [root] if root.is_file() else corpus_files(root, {".pkl", ".pickle"})
    return [chosen_file(root, "file", options.file, found, "pickles", LAYOUT)]


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """Read the utterances of an MMSA pickle.

    `score` is the regression label, `label` its sign (negative, neutral, positive), `split` the official
    one, `dialogue` the video; speakers are not known. `audio` and `video` are the pickle itself, which
    holds their features. An utterance without a finite score is
    rejected; raises UserError for another layout and for an id that appears twice.
    """
    path = files(root, options)[0]
    utterances, rejected, place = [], [], dict[str, str]()
    for split, columns in _open(path).items():
        for row, (id, score) in enumerate(zip(columns["id"], columns["regression_labels"], strict=True)):
            here = f"{split}, row {row}"
            if id in place:
                raise UserError(f"{path}: the id {id} appears twice: {place[id]} and {here}")
            place[id] = here
            if not np.isfinite(score):
                rejected.append(Rejected(id, None, "prepare", f"its score is {score} ({here})"))
                continue
            utterances.append(
                Utterance(
                    id=id,
                    text=_text(columns, row),
                    audio=str(path) if "audio" in columns else None,
                    video=str(path) if "vision" in columns else None,
                    label=sentiment(score),
                    # float32 in the file: the shortest decimal that means it, 2.6 and not 2.5999999
                    score=float(str(np.float32(score))),
                    dialogue=id.split("$_$")[0],
                    split=split,
                )
            )
    return utterances, rejected


def _text(columns: Split, row: int) -> str | None:
    """The transcript; '' where the file holds features of the text and not the text itself."""
    said = columns["raw_text"][row].strip() if "raw_text" in columns else ""
    return said or ("" if "text" in columns else None)


def published_sizes(corpus: str, holds: str = "") -> Published:
    """The sizes of the official split of CMU-MOSI or CMU-MOSEI; `holds` as in `Published`."""
    groups = {split: {UTTERANCES: size} for split, size in SIZES[corpus].items()}
    whole = {UTTERANCES: sum(SIZES[corpus].values())}
    return Published(f"{corpus}, official split", whole, "split", groups, holds)


def published(root: Path, utterances: list[Utterance], options: Options) -> list[Published]:
    """The sizes of the corpus that the file, or the number of its utterances, is nearest to."""
    known = RELEASES.get(file_digest(files(root, options)[0]))
    near = min(SIZES, key=lambda c: abs(sum(SIZES[c].values()) - len(utterances)))
    return [published_sizes(known[0], "svt") if known else published_sizes(near)]


def findings(root: Path, utterances: list[Utterance], options: Options) -> list[Finding]:
    """Whether the file is one that MMSA hands out, and what its features are."""
    path = files(root, options)[0]
    known = RELEASES.get(file_digest(path))
    if known:
        finding = Finding(
            "ok", f"{path.name} is the {known[1]} file of {known[0]} that MMSA hands out (SHA-256)"
        )
    else:
        finding = Finding(
            "note",
            f"{path.name} is none of the four files that MMSA hands out (SHA-256 differs)",
            "numbers on it do not compare with published ones unless its features and split are the same",
        )
    splits = _open(path)
    widths = [
        f"{NAMES[m]} {shape[-1]} wide"
        + (f", up to {shape[1]} steps" if len(shape) == 3 and shape[1] > 1 else ", one step")
        for m, column in COLUMNS.items()
        for shape in [next((s[column].shape for s in splits.values() if column in s), ())]
        if shape
    ]
    return [finding, Finding("ok", "features: " + "; ".join(widths))]


def features(root: Path, modality: str, options: Options) -> "PickledFeatures":
    """The features of one modality ('s', 'v', 't') in the pickle, as an encoder."""
    return PickledFeatures(files(root, options)[0], modality, options.nonfinite, options.zeros)


class PickledFeatures:
    """Hands out the features of one modality of an MMSA pickle, one sequence an utterance.

    Padding is cut: to the given lengths (for text: the mask in `text_bert`), else zero frames at either
    end. The pickle knows no times; `times` counts the frames as they lie in the file, so that aligned
    files stay aligned. Infinite and NaN values in *audio* become zero, as all users of these files do
    (COVAREP writes -inf for the log of silence), and `replaced` counts them by utterance;
    `nonfinite='reject'`, and any in video or text, reject the utterance's modality instead.
    """

    def __init__(
        self,
        path: str | Path,
        modality: str,
        nonfinite: Literal["zero", "reject"],
        zeros: Literal["absent", "error"],
    ) -> None:
        self.modality = modality
        self.replaced: dict[str, int] = {}
        self._path = Path(path)
        self._zero = nonfinite == "zero" and modality == "s"
        self._absence = "" if zeros == "error" else f"{NO_FACE if modality == 'v' else NOTHING}: "
        self._column = COLUMNS[modality]
        self._splits = _open(self._path)
        self._rows = {id: (name, i) for name, s in self._splits.items() for i, id in enumerate(s["id"])}
        widths = {s[self._column].shape[-1] for s in self._splits.values() if self._column in s}
        if len(widths) > 1:
            found = f"{self._column} with widths {sorted(widths)}"
            raise UserError(f"{self._path} has {found}; expected one width for {NAMES[modality]} features")
        self.dim: int = widths.pop() if widths else 0  # without the column, no utterance has the modality

    @cached_property
    def _digest(self) -> str:
        return file_digest(self._path)

    def describe(self) -> dict[str, str]:
        """Where the features come from: the file, its SHA-256 as revision, and how it is read."""
        return {
            "encoder": "mmsa",
            "revision": self._digest,
            "file": self._path.name,
            "parameters": f"nonfinite={'zero' if self._zero else 'reject'}{'' if self._absence else ' zeros=error'}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One result an utterance, in order: its frames (T, D) float32, or why there are none."""
        for utterance in utterances:
            yield answered(utterance.id, self.modality, self._frames(utterance.id))

    def _frames(self, id: str) -> FeatureSequence | str:
        split, row = self._rows.get(id, (None, 0))
        if split is None or self._column not in self._splits[split]:
            return f"{self._path.name} holds no {self._column} for it"
        columns = self._splits[split]
        with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, and counts as such
            frames = np.array(columns[self._column][row], np.float32).reshape(-1, self.dim)
        length = self._length(columns, row, len(frames))
        frames = frames[:length]
        bad = ~np.isfinite(frames)
        if bad.any() and not self._zero:
            return f"{bad.sum()} of its {frames.size} {self._column} values are NaN or infinite"
        if bad.any():
            self.replaced[id] = int(bad.sum())
            frames[bad] = 0
        filled = np.flatnonzero(frames.any(axis=1))
        if not len(filled):
            # video without a face comes as zeros here: as everywhere, that is absence and no failure
            return f"{self._absence}its {self._column} features are all zero"
        first, last = (0, len(frames)) if length is not None else (filled[0], filled[-1] + 1)
        return FeatureSequence(id, frames[first:last], np.arange(first, last, dtype=np.float32))

    def _length(self, columns: Split, row: int, longest: int) -> int | None:
        """How many frames the file says are real; None when it does not say."""
        if self._column == "text":
            masks = columns.get("text_bert")
            if masks is None or masks.shape[1:] != (3, longest):
                return None
            return int(np.clip(masks[row][1].sum(), 0, longest))
        lengths = columns.get(f"{self._column}_lengths")
        return int(np.clip(lengths[row], 0, longest)) if lengths is not None else None


def _open(path: Path) -> dict[str, Split]:
    """Load the pickle and check its layout, both in another process within a budget; ids become plain strings."""
    return read_foreign(opened, path)


def opened(path: Path) -> dict[str, Split]:
    """As `_open`, in this process."""
    content = unpickled(path)
    if not isinstance(content, dict) or not any(isinstance(content.get(name), dict) for name in SPLITS):
        raise UserError(f"{path} has another layout; expected {LAYOUT}")
    splits: dict[str, Split] = {}
    for name in SPLITS:
        columns = content.get(name)
        if isinstance(columns, dict) and _count(columns.get("id")):
            splits[name] = {key: _checked(f"{path}: {name}", columns, key) for key in _READ if key in columns}
            if "regression_labels" not in columns:
                raise UserError(f"{path}: {name} has no regression_labels; expected {LAYOUT}")
    if not splits:
        raise UserError(f"{path} holds no utterance; expected {LAYOUT}")
    return splits


_READ = (
    "id",
    "raw_text",
    "regression_labels",
    *COLUMNS.values(),
    "text_bert",
    "audio_lengths",
    "vision_lengths",
)


def _checked(where: str, columns: Split, key: str) -> Any:
    """One column: one row an utterance, of the right kind; ids and texts as strings, the rest as arrays."""
    n, column = _count(columns["id"]), columns[key]
    if _count(column) != n:
        raise UserError(f"{where}: {key} has {_count(column)} rows for {n} ids; fetch the file again")
    if key in ("id", "raw_text"):
        if any(not isinstance(value, str) for value in column):
            raise UserError(f"{where}: {key} must hold strings (ids like 'video$_$clip')")
        return [str(value) for value in column]
    try:
        column = np.asarray(column)
    except ValueError:  # rows of different lengths
        column = np.empty(0, object)
    shapes = {"text_bert": (3,), **dict.fromkeys(COLUMNS.values(), (2, 3))}.get(key, (1,))
    if column.dtype.kind not in "fiu" or column.ndim not in shapes:
        raise UserError(
            f"{where}: {key} must be an array of numbers with {' or '.join(map(str, shapes))} axes"
        )
    if key not in COLUMNS.values() and key != "regression_labels" and not np.isfinite(column).all():
        raise UserError(f"{where}: {key} holds NaN or infinity, which is no length; fetch the file again")
    if key in COLUMNS.values() and not column.shape[-1]:
        raise UserError(f"{where}: {key} has the shape {column.shape}, which holds nothing; leave it out")
    return column


def _count(column: Any) -> int:
    if isinstance(column, np.ndarray) and column.ndim:
        return len(column)
    return len(column) if isinstance(column, list | tuple) else 0
