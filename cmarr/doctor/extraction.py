"""What extraction will come to: its own encoders on every file whose header is doubtful, and on a sample of the rest.

The verdict is exact where every utterance was tried, else as sure as `SURE` deviations of a share.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from cmarr.corpora.expected import Finding
from cmarr.corpora.headers import Header
from cmarr.encoders.protocol import is_absence
from cmarr.errors import UserError, many
from cmarr.features.units import checked
from cmarr.media.clips import Failure
from cmarr.media.worker_pool import keep_workers
from cmarr.modalities import NAMES
from cmarr.utterance import Rejected, Utterance

SAMPLE = 64
"""Utterances whose headers are right that are tried before anything is said."""
FEW = 100
"""Utterances that have a modality up to which all are tried."""
MOST = 512
"""Most utterances of a kind that are tried before the verdict is left open."""
SURE = 2.58
"""Standard deviations; the verdict on what was not tried is wrong once in two hundred."""
BEYOND = 0.5
"""Seconds that an utterance may reach beyond the end of its file; times are rounded, headers imprecise."""
SHOWN = 3
"""Examples that stand for the rest."""

Headers = Mapping[str, Header | Failure]


@dataclass(frozen=True)
class Source:
    """Where the features of a modality ('s', 'v', 't') come from: `build` makes the encoder called `name`.

    lacking: why it is not built here: its weights would have to be fetched
    whole:   encoding takes so little that every utterance is tried
    """

    name: str
    build: Callable[[], Any]
    max_rejected: float
    whole: bool = False
    lacking: str = ""


@dataclass
class Part:
    """Utterances of one kind, in a random order, of which the first `number` were tried; `failed`: id -> why."""

    utterances: Sequence[Utterance]
    number: int = 0
    absent: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def bounds(self) -> tuple[float, float]:
        """Least and most that will fail, of those not tried as Wilson's interval has it."""
        n, left = self.number, len(self.utterances) - self.number
        if not left or not n:
            return len(self.failed), len(self.failed) + left
        share, z = len(self.failed) / n, SURE
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return len(self.failed) + left * (middle - half), len(self.failed) + left * (middle + half)

    def expected(self) -> float:
        """How many will fail, by the share of those tried."""
        untried = len(self.utterances) - self.number
        return len(self.failed) + (untried * len(self.failed) / self.number if self.number else 0.0)


class Trial:
    """One modality of some utterances, encoded as extraction will, until it is clear whether extraction stops.

    headers: path -> what its header says; empty of features and texts
    sizes:   id -> what encoding takes in proportion to, seconds or letters; equal where not known
    """

    def __init__(
        self,
        modality: str,
        source: Source,
        utterances: Sequence[Utterance],
        headers: Headers,
        sizes: Mapping[str, float],
    ):
        self.modality, self.source = modality, source
        self.having = [u for u in utterances if u.source(modality) is not None]
        self.doubts = doubts(modality, self.having, headers)
        drawn = random.Random(0).sample(self.having, len(self.having))  # any order but the table's
        self.doubtful = Part([u for u in drawn if u.id in self.doubts])
        self.others = Part([u for u in drawn if u.id not in self.doubts])
        usual = sum(sizes.values()) / len(sizes) if sizes else 1.0
        self.size = {u.id: sizes.get(u.id, usual) for u in self.having}
        self.timed = self.seconds = 0.0
        self.replaced: dict[str, int] = {}

    @property
    def most(self) -> float:
        """How many may fail before extraction stops."""
        return self.source.max_rejected * len(self.having)

    @property
    def parts(self) -> tuple[Part, Part]:
        """Those with a doubtful header, and the others."""
        return self.doubtful, self.others

    @property
    def tried(self) -> int:
        """How many were encoded, or failed to be."""
        return sum(part.number for part in self.parts)

    @property
    def failed(self) -> dict[str, str]:
        """Id -> why it has no features, of those that were tried."""
        return self.doubtful.failed | self.others.failed

    @property
    def encoded(self) -> int:
        """How many of the tried ones gave features."""
        return self.tried - len(self.failed) - sum(part.absent for part in self.parts)

    def run(self, encoder: Any) -> None:
        """Try as many as the verdict needs, all of them where the source says so."""
        reader = getattr(encoder, "reader", None)
        with keep_workers([reader], encoder.workers) if reader else nullcontext():
            self._try(self.others, 1, encoder)  # loads what there is to load
            self.timed = self.seconds = 0.0 if len(self.others.utterances) > 1 else self.seconds
            every = self.source.whole or len(self.having) <= FEW
            self._try(self.others, len(self.having) if every else SAMPLE - 1, encoder)
            self._try(self.doubtful, len(self.having) if every else MOST, encoder)
            while self.open():
                part = max(self.parts, key=lambda part: part.bounds()[1] - part.bounds()[0])
                if not self._try(part, min(part.number, MOST - part.number), encoder):
                    break
        self.replaced = getattr(encoder, "replaced", {})

    def _try(self, part: Part, count: int, encoder: Any) -> int:
        """Encode the next `count` utterances of a part, and return how many there were."""
        chosen = part.utterances[part.number : part.number + count]
        if not chosen:
            return 0
        begun = time.monotonic()
        for u, result in zip(chosen, encoder.encode(chosen), strict=True):
            result = checked(result, encoder.dim, self.modality)
            if not isinstance(result, Rejected):
                continue
            if is_absence(result):
                part.absent += 1
            else:
                part.failed[u.id] = self.doubts.get(u.id, result.reason)
        part.number += len(chosen)
        if part is self.others:
            self.seconds += time.monotonic() - begun
            self.timed += sum(self.size[u.id] for u in chosen)
        return len(chosen)

    def bounds(self) -> tuple[float, float]:
        """Least and most that will fail of all."""
        lows, highs = zip(*(part.bounds() for part in self.parts), strict=True)
        return sum(lows), sum(highs)

    def open(self) -> bool:
        """Whether it is not clear yet that extraction stops, nor that it does not."""
        low, high = self.bounds()
        return low <= self.most < high

    def stops(self) -> bool:
        """Whether extraction will stop, or would by what is most likely."""
        return sum(part.expected() for part in self.parts) > self.most

    def duration(self) -> float | None:
        """Seconds that encoding all will take; None where nothing was measured."""
        return self.seconds * sum(self.size.values()) / self.timed if self.timed else None

    def findings(self) -> list[Finding]:
        """What there is to say of it."""
        name = NAMES[self.modality]
        if not self.having:
            return [Finding("note", f"{name}: nothing to extract")]
        found = many(len(self.having), "utterance")
        told = "all tried" if self.tried == len(self.having) else f"{self.tried} tried"
        said = [f"{told}, {self.encoded} of them give features"]
        if lacking := sum(part.absent for part in self.parts):
            said.append(f"{lacking} show no face" if self.modality == "v" else f"{lacking} say nothing")
        if self.replaced:
            said.append(f"{sum(self.replaced.values())} infinite or NaN values count as 0")
        took = self.duration()
        about = f"; about {_time(took)} on this machine" if took is not None else ""
        line = Finding("ok", f"{name}: {self.source.name}, {found}: {', '.join(said)}{about}")
        return [line, *self._failures()]

    def _failures(self) -> list[Finding]:
        failed, of = self.failed, len(self.having)
        if not failed and not self.open():
            return []
        whole = self.tried == of
        number = str(len(failed)) if whole else f"about {sum(p.expected() for p in self.parts):.0f}"
        shown = "".join(f"\n{id}: {reason}" for id, reason in list(failed.items())[:SHOWN])
        more = f"\n... and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        few = "" if whole else f" ({len(failed)} of {self.tried} tried)"
        text = f"{NAMES[self.modality]} of {number} of {of} utterances cannot be read{few}:{shown}{more}"
        allowed = f"max_rejected = {self.source.max_rejected:g}"
        advice = "extraction quarantines them; fetch the files again if you can"
        if self.stops():
            advice = f"extraction would stop ({allowed}): fetch the files again, or raise it"
        if self.open():
            advice = (
                f"extraction may stop ({allowed}): {self.tried} do not decide it. Mend the files, or raise it"
            )
        return [Finding("problem" if self.stops() else "warning", text, advice)]


def doubts(modality: str, utterances: Sequence[Utterance], headers: Headers) -> dict[str, str]:
    """Id -> what the header of its file says against it, of the utterances that have one."""
    found = {}
    for u in utterances:
        path = str(u.source(modality))
        header = headers.get(path)
        if isinstance(header, Failure):
            found[u.id] = header.reason
        elif header is not None and not header.holds(modality):
            found[u.id] = f"{path} has no {'sound' if modality == 's' else 'video'} track"
        elif header is not None and (last := header.span(modality)[1]) is not None:
            start = u.span(modality)[0] or 0.0
            if start > last + BEYOND:
                found[u.id] = (
                    f"{path} lasts {last:.4g} s, the utterance begins at {start:g} s; are times in seconds?"
                )
    return found


def try_extraction(
    sources: Mapping[str, Source],
    utterances: Sequence[Utterance],
    headers: Headers,
    lengths: Mapping[str, float],
) -> list[Finding]:
    """What extraction will come to, modality by modality.

    lengths: id -> seconds, as far as they are known
    """
    findings: list[Finding] = []
    given = unknown = 0
    whole = 0.0
    for modality, source in sources.items():
        sizes = {u.id: len(u.text or "") + 1.0 for u in utterances} if modality == "t" else lengths
        trial = Trial(modality, source, utterances, headers, sizes)
        if source.lacking:
            unknown += len(trial.having)
            findings.append(Finding("note", f"{NAMES[modality]}: {source.name}, not tried: {source.lacking}"))
            continue
        try:
            trial.run(source.build())
        except UserError as error:
            findings.append(Finding("problem", f"{NAMES[modality]}: {error}"))
            unknown += len(trial.having)
            continue
        given += trial.encoded
        whole += trial.duration() or 0.0
        findings += trial.findings()
    if whole > 0:
        beside = f", beside {many(unknown, 'input')} not tried" if unknown else ""
        findings.append(Finding("note", f"all of it: about {_time(whole)} on this machine{beside}"))
    if sources and not given and not unknown:
        findings.append(Finding("problem", "no utterance gives any features: there is nothing to train on"))
    return findings


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
