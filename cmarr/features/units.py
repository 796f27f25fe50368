"""The units of extraction: a shard's worth of utterances, made once, found again, put in place."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cmarr.encoders.protocol import STAGE
from cmarr.errors import UserError
from cmarr.features.fingerprint import Inputs
from cmarr.features.shards import read_ids, read_metadata, shard_path, shards, write_shard
from cmarr.files import atomic, canonical_json
from cmarr.sequence import FeatureSequence
from cmarr.utterance import Rejected, Utterance


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

    def make(self, folder: Path, answers: Iterator[FeatureSequence | Rejected], dim: int) -> list[Rejected]:
        """Draw one answer an utterance, write the shard, return what was rejected."""
        sequences: list[FeatureSequence] = []
        rejected: list[Rejected] = []
        for utterance in self.utterances:
            answer = _checked(next(answers), dim, self.provenance["modality"])
            if answer.id != utterance.id:
                raise RuntimeError(f"the encoder answered for {answer.id} where {utterance.id} was due")
            if isinstance(answer, Rejected):
                reason = self.inputs.localised(answer.id, answer.reason)
                rejected.append(Rejected(answer.id, answer.modality, answer.stage, reason))
            else:
                sequences.append(answer)
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
                shard_path(folder, unit.number).unlink(missing_ok=True)


def publish(units: Sequence[Unit], work: Path, folder: Path) -> None:
    """Put the shards of `work` into `folder`, each whole at any moment; remove what is not among them."""
    wanted = [shard_path(folder, unit.number) for unit in units]
    made = [shard_path(work, unit.number) for unit in units]
    if work != folder:
        for source, target in zip(made, wanted, strict=True):
            if source.exists():
                with atomic(target) as temporary:
                    _link(source, temporary)
    stale = [path for path in shards(folder) if path not in wanted]
    killed = [path for place in {work, folder} for path in place.glob(".part-*.tmp")]
    for path in (*stale, *killed, *(shards(work) if work != folder else ())):
        path.unlink()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _checked(answer: FeatureSequence | Rejected, dim: int, modality: str) -> FeatureSequence | Rejected:
    """The answer, or a rejection when its features cannot be used."""
    if isinstance(answer, Rejected):
        return answer
    n_frames, width = answer.frames.shape
    bad = answer.frames.size - int(np.isfinite(answer.frames).sum())
    if width != dim:
        reason = f"its features have {width} columns where {dim} are due"
    elif not n_frames:
        reason = "its features have no frame"
    elif bad:
        reason = f"{bad} of its {answer.frames.size} feature values are NaN or infinite"
    else:
        return answer
    return Rejected(answer.id, modality, STAGE, reason)
