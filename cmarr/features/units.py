"""The units of extraction: a shard's worth of utterances, made once, found again by what was read, put in place."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cmarr import objects
from cmarr.encoders.protocol import STAGE
from cmarr.errors import UserError
from cmarr.features.shards import read_ids, read_metadata, shard_path, shards, write_shard
from cmarr.files import canonical_json, digest, put_in_place
from cmarr.utterance import FeatureSequence, Rejected, Utterance

ENDS = 1 << 20
"""Bytes read at each end of a file. Whole reads would double the traffic of a large corpus."""


class Inputs:
    """What an encoder reads of some utterances in one modality.

    A digest covers what an encoder may use of the utterance: its text, or its place in the file and the
    file's size, first and last megabyte. File names, folders and times of change stay out, so that a
    copy of the corpus elsewhere gives the same shards. What damages the recording on its way counts, too.
    Each file is read once. `root`, unless given, is the folder that holds all files, directly or further down.
    """

    def __init__(self, utterances: Sequence[Utterance], modality: str, root: str | None = None):
        self.modality = modality
        paths = {} if modality == "t" else {u.id: path for u in utterances if (path := u.source(modality))}
        self.root = _common_folder(paths.values()) if root is None else root
        self._paths = paths
        self._digest_of = cache(_file_digest)

    def name(self, id: str) -> str:
        """The path of an utterance's file below `root`; its id where there is none."""
        return str(Path(self._paths[id]).relative_to(self.root)) if id in self._paths else id

    def localised(self, id: str, reason: str) -> str:
        """A reason that names the file relative to `root`: the same wherever the corpus lies."""
        return reason.replace(self._paths[id], self.name(id)) if id in self._paths else reason

    def digest(self, utterances: Iterable[Utterance]) -> str:
        """One digest (hex) over the inputs of some utterances, in their order."""
        return digest([self._one(utterance) for utterance in utterances])

    def _one(self, utterance: Utterance) -> list[object]:
        path = self._paths.get(utterance.id)
        if path is None:
            return [utterance.id, utterance.text]
        crop = utterance.crop if self.modality == "v" else None
        damage = [] if utterance.damage is None else [str(utterance.damage)]
        return [utterance.id, self._digest_of(path), *utterance.span(self.modality), crop, *damage]


def _common_folder(paths: Iterable[str]) -> str:
    folders = {str(Path(path).parent) for path in paths}
    try:
        return os.path.commonpath(folders)
    except ValueError:  # no file at all, or absolute and relative paths
        return ""


def _file_digest(path: str) -> str:
    try:
        if not Path(path).is_file():  # a pipe would never end
            return "cannot be read: no file"
        with Path(path).open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            read = hashlib.sha256(opened.read(ENDS))
            opened.seek(max(size - ENDS, 0))
            read.update(opened.read(ENDS))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return f"{size} {read.hexdigest()}"


@dataclass(frozen=True)
class Unit:
    """The utterances of one shard. Those that gave no features stand, with reasons, in its metadata."""

    number: int
    utterances: Sequence[Utterance]
    provenance: dict[str, str]
    inputs: Inputs

    def find(self, *folders: Path) -> list[Rejected] | None:
        """The utterances rejected by a shard made earlier; None when no folder holds one that is right."""
        for folder in dict.fromkeys(folders):
            path = shard_path(folder, self.number)
            try:
                metadata, ids = read_metadata(path), read_ids(path)
            except (UserError, OSError, ValueError):  # not there, or damaged: made again
                continue
            rejected = [Rejected(**row) for row in json.loads(metadata.pop("rejected", "[]"))]
            metadata.pop("dtype", None)
            known = set(ids) | {r.id for r in rejected}
            if known == {u.id for u in self.utterances} and metadata == self._metadata():
                return rejected
        return None

    def make(self, folder: Path, results: Iterator[FeatureSequence | Rejected], dim: int) -> list[Rejected]:
        """Draw one result an utterance, write the shard, return what was rejected."""
        sequences: list[FeatureSequence] = []
        rejected: list[Rejected] = []
        for utterance in self.utterances:
            result = checked(next(results), dim, self.provenance["modality"])
            if result.id != utterance.id:
                raise RuntimeError(f"the encoder gave {result.id} where {utterance.id} was due")
            if isinstance(result, Rejected):
                reason = self.inputs.localised(result.id, result.reason)
                rejected.append(Rejected(result.id, result.modality, result.stage, reason))
            else:
                sequences.append(result)
        rows = canonical_json([asdict(r) for r in rejected])
        write_shard(shard_path(folder, self.number), sequences, {**self._metadata(), "rejected": rows})
        return rejected

    def _metadata(self) -> dict[str, str]:
        return {**self.provenance, "inputs": self.inputs.digest(self.utterances)}


def cut_units(
    utterances: Sequence[Utterance], size: int, provenance: dict[str, str], inputs: Inputs
) -> list[Unit]:
    """Units of `size` neighbouring utterances each; the last holds what is left."""
    firsts = range(0, len(utterances), size)
    return [Unit(i, utterances[a : a + size], provenance, inputs) for i, a in enumerate(firsts)]


def forget(units: Sequence[Unit], ids: set[str], *folders: Path) -> None:
    """Remove the shards that cover some utterances, so that these are tried again."""
    for unit in units:
        if any(utterance.id in ids for utterance in unit.utterances):
            for folder in folders:
                objects.remove(shard_path(folder, unit.number))


def publish(units: Sequence[Unit], work: Path, folder: Path) -> None:
    """Put the shards of `work` into `folder`, each whole at any moment; remove what is not among them."""
    wanted = [shard_path(folder, unit.number) for unit in units]
    made = [shard_path(work, unit.number) for unit in units]
    if work != folder:
        for source, target in zip(made, wanted, strict=True):
            if objects.is_file(source):
                put_in_place(source, target)
    stale = [path for path in shards(folder) if path not in wanted]
    killed = [path for place in {work, folder} for path in objects.found(place, ".part-*.tmp")]
    for path in (*stale, *killed, *(shards(work) if work != folder else ())):
        objects.remove(path)


def checked(result: FeatureSequence | Rejected, dim: int, modality: str) -> FeatureSequence | Rejected:
    """The result, or a rejection when its features cannot be used."""
    if isinstance(result, Rejected):
        return result
    n_frames, width = result.frames.shape
    bad = result.frames.size - int(np.isfinite(result.frames).sum())
    if width != dim:
        reason = f"its features have {width} columns where {dim} are due"
    elif not n_frames:
        reason = "its features have no frame"
    elif bad:
        reason = f"{bad} of its {result.frames.size} feature values are NaN or infinite"
    else:
        return result
    return Rejected(result.id, modality, STAGE, reason)
