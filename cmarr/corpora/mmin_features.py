"""Features of the MMIN family's tree, handed out as an encoder does."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from cmarr.corpora.hdf5 import list_datasets, read_datasets
from cmarr.encoders.protocol import NO_FACE, STAGE
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.media.clips import Failure
from cmarr.sequence import FeatureSequence
from cmarr.utterance import Rejected, Utterance

WIDTHS = {"s": 130, "v": 342, "t": 1024}
"""Columns of ComParE, Denseface and BERT-large features; another width is said, and used."""
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
        """One answer an utterance, in order: its frames (T, D) float32, or why there are none."""
        wanted = [u.id for u in utterances if u.id in self.shapes and self.fits(u.id)]
        arrays = read_datasets(self._path, wanted)
        for utterance in utterances:
            answer = self._frames(utterance.id, arrays)
            if isinstance(answer, str):
                yield Rejected(utterance.id, self.modality, STAGE, answer)
            else:
                yield answer

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
            absence = f"{NO_FACE}: " if self.modality == "v" else ""
            return f"{absence}its features are all zero"
        length = filled[-1] + 1
        return FeatureSequence(id, frames[:length], np.arange(length, dtype=np.float32))
