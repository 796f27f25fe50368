"""Extraction: the utterances of a corpus through an encoder into shards, resumable shard by shard.

Shards are made one after the other in this process, or side by side on a cluster, each a unit of work of its own.
"""

import pickle
import re
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cmarr import __version__, objects
from cmarr.corpora.manifest import write_quarantine
from cmarr.encoders.protocol import EMPTY_TEXT, Encoder, is_absence
from cmarr.errors import UserError, many
from cmarr.execution.ray import Cluster, cluster_results
from cmarr.features.shards import QUARANTINE, SHARDS, shard_path, shards_digest
from cmarr.features.units import Inputs, Unit, cut_units, forget, publish
from cmarr.modalities import NAMES
from cmarr.progress import progress
from cmarr.utterance import FeatureSequence, Rejected, Utterance

Make = Callable[[Sequence[Unit], Path, str], Generator[list[Rejected], None, None]]
"""(units, folder, label) -> what was rejected of each unit, in order, once its shard lies in the folder."""


@dataclass(frozen=True)
class Summary:
    """What became of the utterances in one modality.

    `encoded` have a row in a shard; `absent` do not have the modality; `rejected` have an input that
    gave no features, `kinds` counts them by reason; `reused` of the `shards` were there already.
    """

    modality: str
    encoded: int
    absent: int
    rejected: Sequence[Rejected]
    kinds: dict[str, int]
    shards: int
    reused: int

    def __str__(self) -> str:
        earlier = f", {self.reused} of them made earlier" if self.reused else ""
        head = (
            f"{NAMES[self.modality]}: {many(self.encoded, 'utterance')} encoded "
            f"({many(self.shards, 'shard')}{earlier}), "
            f"{self.absent} without this modality, {len(self.rejected)} quarantined"
        )
        return head + "".join(f"\n  {count} x {kind}" for kind, count in self.kinds.items())


def extract(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    folder: str | Path,
    shard_size: int = 64,
    max_rejected: float = 0.1,
    label: str | None = None,
    resume: str | Path | None = None,
    remarks: Mapping[str, str] | None = None,
    make: Make | None = None,
) -> Summary:
    """Encode one modality of all utterances into `folder`/part-00000.parquet ..., rows in manifest order.

    A shard covers `shard_size` utterances that have the modality. One that is there already and whole,
    of the same utterances, inputs, encoder description and product version, is not made again. With
    `resume`, shards are made in that folder and put into `folder` at the end, so that a killed run
    loses nothing when `folder` is cleared before the next one; on success they are gone from `resume`.

    An utterance whose path or text is None, or whose transcript is blank, does not have the modality.
    One that has it but gives no features, or features with NaN or infinity, goes to
    `folder`/quarantine.parquet with the reason, in which media files are named relative to the folder
    that holds them all. `label` stands before the progress bar. `remarks` join what the metadata of a shard
    say of its origin. `make` decides where shards are made: here (`in_turn`), unless given.

    Raises UserError when more than the share `max_rejected` of the utterances that have the modality
    cannot be encoded; a video in which no face is found counts as not available, not as a failure. The
    next run tries again what failed, and keeps the shards in which nothing did.
    """
    folder, work = Path(folder), Path(folder if resume is None else resume)
    having = [u for u in utterances if u.source(encoder.modality) is not None]
    provenance = {**encoder.describe(), "modality": encoder.modality, "product": f"cmarr {__version__}"}
    provenance |= remarks or {}
    inputs = Inputs(having, encoder.modality)
    units = cut_units(having, shard_size, provenance, inputs)
    earlier = [unit.find(work, folder) for unit in units]
    missing = [unit for unit, found in zip(units, earlier, strict=True) if found is None]
    most = max_rejected * len(having)
    rejected = _made(
        earlier, (make or in_turn(encoder))(missing, work, label or NAMES[encoder.modality]), most
    )
    failed = _failed(rejected)
    if len(failed) > most:
        # shards of later utterances may be there, too, and failures in them
        known = _failed([r for unit in units for r in unit.find(work, folder) or []])
        forget(units, {r.id for r in known}, work, folder)
        write_quarantine(folder / QUARANTINE, _listed(rejected))
        raise _too_many(failed, len(having), max_rejected, encoder.modality, folder, inputs.root)
    publish(units, work, folder)
    listed = _listed(rejected)
    write_quarantine(folder / QUARANTINE, listed, {SHARDS: shards_digest(folder)})
    return Summary(
        modality=encoder.modality,
        encoded=len(having) - len(rejected),
        absent=len(utterances) - len(having) + len(rejected) - len(listed),
        rejected=listed,
        kinds=_kinds(listed, inputs),
        shards=len(units),
        reused=sum(found is not None for found in earlier),
    )


def _made(
    earlier: Sequence[list[Rejected] | None], made: Generator[list[Rejected], None, None], most: float
) -> list[Rejected]:
    """What is rejected of all units in order, those found earlier and those made; stops once `most` have failed."""
    rejected: list[Rejected] = []
    try:
        for found in earlier:
            rejected += next(made) if found is None else found
            if len(_failed(rejected)) > most:
                break
        else:
            next(made, None)  # lets it come to its end
    finally:
        made.close()
    return rejected


def _failed(rejected: Sequence[Rejected]) -> list[Rejected]:
    return [r for r in rejected if not is_absence(r)]


def _listed(rejected: Sequence[Rejected]) -> list[Rejected]:
    return [r for r in rejected if r.reason != EMPTY_TEXT]


def _kinds(rejected: Sequence[Rejected], inputs: Inputs) -> dict[str, int]:
    """Reasons without the names and numbers of the single case -> how often, the most frequent first."""
    kinds = Counter(
        re.sub(r"\b\d+(\.\d+)?\b", "N", r.reason.replace(inputs.name(r.id), "the file")) for r in rejected
    )
    return dict(sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0])))


def _too_many(
    failed: Sequence[Rejected], of: int, allowed: float, modality: str, folder: Path, root: str
) -> UserError:
    first = "".join(f"\n  {r.id}: {r.reason}" for r in failed[:3])
    return UserError(
        f"{NAMES[modality]}: {len(failed)} of {of} utterances cannot be encoded, more than "
        f"max_rejected = {allowed:g} allows; put the files right or raise max_rejected. The first "
        f"{min(len(failed), 3)} (file names in {root}; all so far: {folder / QUARANTINE}):{first}"
    )


LATE_SECONDS = 60.0
"""Time for a file that a node has written to show here: a network file system remembers for a while what was absent."""


def in_turn(encoder: Encoder) -> Make:
    """Make shards here, in order; the encoder looks ahead over their boundaries."""

    def make(units: Sequence[Unit], folder: Path, label: str) -> Generator[list[Rejected], None, None]:
        utterances = [utterance for unit in units for utterance in unit.utterances]
        results = encoder.encode(utterances)
        shown = progress(results, label, "utterance", len(utterances))
        try:
            for unit in units:
                yield unit.make(folder, shown, encoder.dim)
        finally:
            if isinstance(results, Generator):
                results.close()  # ends worker processes now, not when memory is tidied

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

    def ticking() -> Iterator[FeatureSequence | Rejected]:
        for result in encoder.encode(job.utterances):
            tick()
            yield result

    unit = Unit(job.number, job.utterances, job.provenance, inputs)
    return unit.make(job.folder, ticking(), encoder.dim)


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
                objects.absolute(folder),
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
    while not objects.is_file(path):
        if time.monotonic() > deadline:
            raise UserError(
                f"{path}: a node has written it, but it does not show here; is the folder shared?"
            )
        time.sleep(0.2)
        objects.found(path.parent, path.name)  # makes a network file system look again


@lru_cache(maxsize=1)
def _encoder(build: bytes) -> Encoder:
    # loaded once for all shards that this process makes
    encoder: Encoder = pickle.loads(build)()
    return encoder
