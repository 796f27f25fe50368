"""The feature tree of the MMIN family (Zhao et al. 2021; IF-MMIN, CIF-MMIN) for IEMOCAP or MSP-IMPROV.

    A/comparE.h5, V/denseface.h5, L/bert_large.h5       a dataset (T, D) an utterance, D = 130, 342, 1024
    target/<fold>/{trn,val,tst}_label.npy               classes, as numbers or one-hot
    target/<fold>/{trn,val,tst}_int2name.npy            names of the utterances

The tree's A/comparE_mean_std.h5 is not needed: features are standardised with the training part's own
mean and deviation, whatever the corpus.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.corpora import iemocap, msp_improv
from cmarr.corpora.arrays import mapped
from cmarr.corpora.expected import UTTERANCES, Finding, Published
from cmarr.corpora.hdf5 import list_datasets, read_datasets
from cmarr.corpora.inventory import corpus_files
from cmarr.corpora.text_files import as_text
from cmarr.declaration import Section, setting
from cmarr.encoders.protocol import NO_FACE, NOTHING, answered
from cmarr.errors import UserError, many
from cmarr.files import file_digest
from cmarr.media.clips import Failure
from cmarr.modalities import MODALITIES, NAMES
from cmarr.utterance import FeatureSequence, Rejected, Utterance

READER = "mmin"

LAYOUT = "A/comparE.h5, V/denseface.h5, L/bert_large.h5 and target/1/trn_label.npy, trn_int2name.npy and their like"

FOLDERS = {"s": "A", "v": "V", "t": "L"}
PARTS = ("trn", "val", "tst")
CLASSES = ("angry", "happy", "neutral", "sad")
WIDTHS = {"s": 130, "v": 342, "t": 1024}
"""Columns of ComParE, Denseface and BERT-large features; another width is reported, and used."""
LIST_SECONDS = 300.0
"""Time limit for looking through one file; a corpus has ten thousand datasets in it."""


class TreeFeatures:
    """Hands out the features of one modality of the tree, one sequence an utterance.

    Padding (rows of zeros at the end) is cut; rows of zeros between others stay, as frames without a face.
    The tree knows no times; `times` counts the rows. The width D is that of most utterances; another
    width, NaN and infinity cost the utterance this modality.
    """

    def __init__(self, path: str | Path, modality: str) -> None:
        self.modality = modality
        self._path = Path(path)
        if not self._path.is_file():  # then no utterance has the modality
            self.shapes: dict[str, tuple[int, ...]] = {}
            self.dim = 0
            return
        [self.shapes] = list_datasets([self._path], LIST_SECONDS)
        widths = [shape[1] for shape in self.shapes.values() if len(shape) == 2]
        if not widths:
            raise UserError(f"{path} holds no features (T, D) of any utterance; fetch the file again")
        self.dim = max(sorted(set(widths)), key=widths.count)

    def fits(self, id: str) -> bool:
        """True when an utterance's features have the shape (T, D), T at least 1."""
        shape = self.shapes[id]
        return len(shape) == 2 and shape[0] > 0 and shape[1] == self.dim

    @cached_property
    def _digest(self) -> str:
        return file_digest(self._path) if self._path.is_file() else "absent"

    def describe(self) -> dict[str, str]:
        """Where the features come from: the file, and its SHA-256 as revision."""
        return {"encoder": "mmin", "revision": self._digest, "file": self._path.name}

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One result an utterance, in order: its frames (T, D) float32, or why there are none."""
        wanted = [u.id for u in utterances if u.id in self.shapes and self.fits(u.id)]
        arrays = read_datasets(self._path, wanted)
        for utterance in utterances:
            yield answered(utterance.id, self.modality, self._frames(utterance.id, arrays))

    def _frames(self, id: str, arrays: Iterator[np.ndarray | Failure]) -> FeatureSequence | str:
        if id not in self.shapes:
            return f"{self._path.name} holds no features of it"
        if not self.fits(id):
            return f"its features in {self._path.name} have the shape {self.shapes[id]}, not (T, {self.dim})"
        frames = next(arrays)
        if isinstance(frames, Failure):
            return frames.reason
        bad = frames.size - int(np.isfinite(frames).sum())
        if bad:
            return f"{bad} of its {frames.size} values in {self._path.name} are NaN or infinite"
        filled = np.flatnonzero(frames.any(axis=1))
        if not len(filled):
            # a video without a face comes as zeros here: as everywhere, that is absence and no failure
            return f"{NO_FACE if self.modality == 'v' else NOTHING}: its features are all zero"
        length = filled[-1] + 1
        return FeatureSequence(id, frames[:length], np.arange(length, dtype=np.float32))


class Options(Section):
    """Names of the tree's files, and what the numbers of its classes mean."""

    audio: str = setting("comparE.h5", "file in A")
    video: str = setting("denseface.h5", "file in V")
    text: str = setting("bert_large.h5", "file in L")
    labels: tuple[str, ...] = setting(CLASSES, "classes behind the numbers 0, 1, ... of target")

    def files(self) -> dict[str, Path]:
        """Modality -> its file, relative to the root."""
        named = zip(MODALITIES, (self.audio, self.video, self.text), strict=True)
        return {modality: Path(FOLDERS[modality], file) for modality, file in named}


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """Read the utterances of all folds; speaker, sex, session and dialogue follow from their names.

    A file that is not there leaves the modality absent. An utterance whose class differs between folds, or has no
    name, is rejected. Raises UserError for a target that is damaged or incomplete.
    """
    target = _target(root)
    held, labels = _held(root, options), options.labels
    classes: dict[str, set[int]] = {}
    for parts in target.values():
        for names, numbers in parts.values():
            for name, number in zip(names, numbers, strict=True):
                classes.setdefault(name, set()).add(number)
    utterances: list[Utterance] = []
    rejected: list[Rejected] = []
    for name, given in sorted(classes.items()):
        if len(given) > 1 or not 0 <= (number := min(given)) < len(labels):
            found = " and ".join(map(str, sorted(given)))
            reason = f"its class in target is {found}, not one of 0 to {len(labels) - 1}"
            rejected.append(Rejected(name, None, "prepare", reason))
            continue
        sources = {m: str(path) if name in names else None for m, (path, names) in held.items()}
        utterances.append(
            Utterance(
                id=name,
                text="" if sources["t"] else None,  # its features are there, its words are not
                audio=sources["s"],
                video=sources["v"],
                label=labels[number],
                **_who(name),
            )
        )
    return utterances, rejected


def files(root: Path, options: Options) -> list[Path]:
    """The three feature files and the targets."""
    features = [root / file for file in options.files().values()]
    return [*features, *corpus_files(root / "target", {".npy"})] if (root / "target").is_dir() else features


def features(root: Path, modality: str, options: Options) -> TreeFeatures:
    """The features of one modality ('s', 'v', 't'), as an encoder."""
    return TreeFeatures(root / options.files()[modality], modality)


def published(root: Path, utterances: list[Utterance]) -> list[Published]:
    """The counts of the four-class tasks that these trees are made for."""
    if not utterances or utterances[0].id.startswith("Ses"):
        merged = {"happy": "happy+excited"}
        counts = {name: iemocap.PUBLISHED[merged.get(name, name)] for name in CLASSES}
        return [Published("IEMOCAP, four classes", {UTTERANCES: sum(counts.values())} | counts, holds="svt")]
    counts = dict(msp_improv.WITH_FACE)
    return [
        Published(
            "MSP-IMPROV, the published subset", {UTTERANCES: sum(counts.values())} | counts, holds="svt"
        )
    ]


def findings(root: Path, utterances: list[Utterance], options: Options) -> list[Finding]:
    """What the feature files hold, and whether the tree's folds are those of `folds: mmin`."""
    found = []
    for modality, file in options.files().items():
        path = root / file
        if not path.is_file():
            advice = f"put it there, or name another file of {path.parent} under options"
            found.append(Finding("warning", f"{path} does not exist: no {NAMES[modality]}", advice))
            continue
        encoder = TreeFeatures(path, modality)
        text = f"{file}: {encoder.dim} columns"
        if encoder.dim == WIDTHS[modality]:
            found.append(Finding("ok", text))
        else:
            found.append(Finding("note", f"{text}, where the family's file has {WIDTHS[modality]}"))
        odd = [id for id in (u.id for u in utterances) if id in encoder.shapes and not encoder.fits(id)]
        if odd:
            shape = encoder.shapes[odd[0]]
            finding = f"{file}: {many(len(odd), 'utterance')} of another shape, as {odd[0]} {shape}"
            found.append(Finding("warning", finding, "they lose this modality; fetch the file again"))
        unknown = set(encoder.shapes) - {u.id for u in utterances}
        if unknown:
            text = f"{file}: {many(len(unknown), 'name')} of no utterance of target passed over, as {min(unknown)}"
            found.append(Finding("note", text))
    return [*found, _folds_finding(root)]


def _held(root: Path, options: Options) -> dict[str, tuple[Path, set[str]]]:
    """Modality -> its file, and the names in it."""
    paths = {modality: root / file for modality, file in options.files().items()}
    there = [path for path in paths.values() if path.is_file()]
    names = dict(zip(there, map(set, list_datasets(there, LIST_SECONDS)), strict=True))
    return {m: (path, names.get(path, set())) for m, path in paths.items()}


Part = tuple[list[str], list[int]]


def _target(root: Path) -> dict[int, dict[str, Part]]:
    """Names and classes by fold and part."""
    folder = root / "target"
    found = (
        [p for p in folder.iterdir() if p.is_dir() and re.fullmatch(r"\d{1,4}", p.name)]
        if folder.is_dir()
        else []
    )
    if not found:
        raise UserError(f"{folder} holds no folder 1, 2, ... with the folds; expected {LAYOUT}")
    folds = sorted(found, key=lambda path: int(path.name))
    return {int(fold.name): {part: _part(fold, part) for part in PARTS} for fold in folds}


def _part(fold: Path, part: str) -> Part:
    names = _array(fold / f"{part}_int2name.npy")
    classes = _array(fold / f"{part}_label.npy")
    names = names.reshape(len(names), -1)[:, 0] if names.ndim in (1, 2) and names.size else np.empty(0, "S1")
    if names.dtype.kind not in "SU" or classes.dtype.kind not in "biuf" or classes.ndim not in (1, 2):
        raise UserError(
            f"{fold}: {part}_int2name.npy must hold names, {part}_label.npy classes; fetch them again"
        )
    if classes.ndim == 2 and classes.shape[1] > 1:  # one-hot
        wrong = (classes != 0).sum(1) != 1
        classes = np.where(wrong, -1, classes.argmax(1))
    classes = classes.reshape(-1).astype(np.float64)
    classes[~np.isfinite(classes) | (classes != np.floor(classes))] = -1
    if len(classes) != len(names):
        raise UserError(f"{fold}: {len(names)} names and {len(classes)} labels for {part}; fetch them again")
    return [as_text(name).strip() for name in names.tolist()], [int(c) for c in classes]


def _array(path: Path) -> np.ndarray:
    if not path.exists():
        raise UserError(f"{path} does not exist; expected {LAYOUT}")
    return np.array(mapped(path, "fetch it again"))


def _who(name: str) -> dict[str, Any]:
    return iemocap.who(name) or msp_improv.who(name)


def _folds_finding(root: Path) -> Finding:
    """Whether each fold holds one speaker out to test and the others of the session to validate."""
    target = _target(root)
    for number, parts in target.items():
        speakers = {part: {_who(n).get("speaker") for n in parts[part][0]} for part in PARTS}
        sessions = {part: {_who(n).get("session") for n in parts[part][0]} for part in PARTS}
        held_out = sessions["val"] == sessions["tst"] and not sessions["tst"] & sessions["trn"]
        if len(speakers["tst"]) != 1 or len(speakers["val"]) != 1 or not held_out:
            return Finding(
                "warning",
                f"target/{number} does not hold one session out, one speaker to validate and one to test",
                "the pipeline makes its own folds from names (`folds: mmin`); they differ from these",
            )
    sizes = "/".join(str(len(target[min(target)][part][0])) for part in PARTS)
    return Finding(
        "ok", f"target: {len(target)} folds by speaker, as `folds: mmin` makes them (the first {sizes})"
    )
