"""Shards made one after the other in this process, or side by side, each a unit of work of its own."""

import pickle
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cmarr.encoders.protocol import Encoder
from cmarr.errors import UserError
from cmarr.execution.ray import Cluster, cluster_results
from cmarr.features.fingerprint import Inputs
from cmarr.features.shards import shard_path
from cmarr.features.units import Unit
from cmarr.progress import progress
from cmarr.utterance import Rejected, Utterance

Make = Callable[[Sequence[Unit], Path, str], Generator[list[Rejected], None, None]]
"""(units, folder, label) -> what was rejected of each unit, in order, once its shard lies in the folder."""

LATE_SECONDS = 60.0
"""Time for a file that a node has written to show here: a network file system remembers for a while what was absent."""


def in_turn(encoder: Encoder) -> Make:
    """Make shards here, in order; the encoder looks ahead over their boundaries."""

    def make(units: Sequence[Unit], folder: Path, label: str) -> Generator[list[Rejected], None, None]:
        utterances = [utterance for unit in units for utterance in unit.utterances]
        answers = encoder.encode(utterances)
        shown = progress(answers, label, "utterance", len(utterances))
        try:
            for unit in units:
                yield unit.make(folder, shown, encoder.dim)
        finally:
            if isinstance(answers, Generator):
                answers.close()  # ends worker processes now, not when memory is tidied

    return make


@dataclass(frozen=True)
class ShardJob:
    """All that the making of one shard needs. `inputs`: the digest of what the one who asks for it reads."""

    build: Callable[[], Encoder]
    number: int
    utterances: Sequence[Utterance]
    provenance: dict[str, str]
    root: str
    inputs: str
    folder: Path


def make_shard(job: ShardJob, tick: Callable[[], None]) -> list[Rejected]:
    """Make one shard; what its utterances give depends on nothing but themselves, so the bytes are those of any run.

    Raises UserError where other recordings lie here than where the job comes from, or none.
    """
    inputs = Inputs(job.utterances, job.provenance["modality"], job.root)
    if inputs.digest(job.utterances) != job.inputs:
        raise UserError(
            f"part {job.number}: not the recordings that were asked for lie here in {job.root}; all nodes must see the "
            "same ones under the same path"
        )
    encoder = _encoder(pickle.dumps(job.build))

    def told() -> Iterator:
        for answer in encoder.encode(job.utterances):
            tick()
            yield answer

    unit = Unit(job.number, job.utterances, job.provenance, inputs)
    return unit.make(job.folder, told(), encoder.dim)


def on_cluster(build: Callable[[], Encoder], cluster: Cluster, device: str = "cpu") -> Make:
    """Make shards on a cluster. `build` makes the encoder, once for each process of a node; picklable."""

    def make(units: Sequence[Unit], folder: Path, label: str) -> Generator[list[Rejected], None, None]:
        if not units:
            return
        jobs = [
            ShardJob(
                build,
                unit.number,
                unit.utterances,
                unit.provenance,
                unit.inputs.root,
                unit.inputs.digest(unit.utterances),
                folder.resolve(),
            )
            for unit in units
        ]
        made = cluster_results(
            make_shard,
            jobs,
            cluster=cluster,
            threads=1,
            label=label,
            unit="utterance",
            units_per_job=len(units[0].utterances),
            device=device,
        )
        try:
            for unit, rejected in zip(units, made, strict=True):
                _wait_for(shard_path(folder, unit.number))
                yield rejected
        finally:
            made.close()

    return make


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + LATE_SECONDS
    while not path.is_file():
        if time.monotonic() > deadline:
            raise UserError(
                f"{path}: a node has written it, but it does not show here; is the folder shared?"
            )
        time.sleep(0.2)
        list(path.parent.iterdir())  # makes a network file system look again


@lru_cache(maxsize=1)
def _encoder(build: bytes) -> Encoder:
    # loaded once for all shards that this process makes
    return pickle.loads(build)()
