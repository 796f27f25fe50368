"""Extraction: the utterances of a corpus through an encoder into shards, resumable shard by shard."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmarr.corpora.manifest import write_quarantine
from cmarr.encoders.protocol import EMPTY_TEXT, Encoder, is_absence
from cmarr.errors import UserError, many
from cmarr.features.fingerprint import Inputs, product_version, source
from cmarr.features.making import Make, in_turn
from cmarr.features.units import cut_units, forget, publish
from cmarr.modalities import NAMES
from cmarr.utterance import Rejected, Utterance


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
    say of its origin. `make` decides where shards are made, see `cmarr.features.making`; here, unless given.

    Raises UserError when more than the share `max_rejected` of the utterances that have the modality
    cannot be encoded; a video in which no face is found counts as not available, not as a failure. The
    next run tries again what failed, and keeps the shards in which nothing did.
    """
    folder, work = Path(folder), Path(folder if resume is None else resume)
    having = [u for u in utterances if source(u, encoder.modality) is not None]
    provenance = {**encoder.describe(), "modality": encoder.modality, "product": f"cmarr {product_version()}"}
    provenance |= remarks or {}
    inputs = Inputs(having, encoder.modality)
    units = cut_units(having, shard_size, provenance, inputs)
    earlier = [unit.find(work, folder) for unit in units]
    missing = [unit for unit, found in zip(units, earlier, strict=True) if found is None]

    rejected: list[Rejected] = []
    made = (make or in_turn(encoder))(missing, work, label or NAMES[encoder.modality])
    try:
        for found in earlier:
            rejected += next(made) if found is None else found
            if _failed(rejected) > max_rejected * len(having):
                break
        else:
            next(made, None)  # lets it come to its end
    finally:
        made.close()
    failed = [r for r in rejected if not is_absence(r)]
    if len(failed) > max_rejected * len(having):
        # shards of later utterances may be there, too, and failures in them
        known = [r for unit in units for r in unit.find(work, folder) or [] if not is_absence(r)]
        forget(units, {r.id for r in known}, work, folder)
        write_quarantine(folder / "quarantine.parquet", _listed(rejected))
        raise _too_many(failed, len(having), max_rejected, encoder.modality, folder, inputs.root)
    publish(units, work, folder)
    listed = _listed(rejected)
    write_quarantine(folder / "quarantine.parquet", listed)
    return Summary(
        modality=encoder.modality,
        encoded=len(having) - len(rejected),
        absent=len(utterances) - len(having) + len(rejected) - len(listed),
        rejected=listed,
        kinds=_kinds(listed, inputs),
        shards=len(units),
        reused=sum(found is not None for found in earlier),
    )


def _failed(rejected: Sequence[Rejected]) -> int:
    return sum(not is_absence(r) for r in rejected)


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
        f"{min(len(failed), 3)} (file names in {root}; all so far: {folder / 'quarantine.parquet'}):{first}"
    )
