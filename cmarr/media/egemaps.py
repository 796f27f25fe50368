"""Samples to eGeMAPS, the acoustic features of Eyben et al. (2016), by openSMILE, in a worker process."""

from collections.abc import Sequence

import numpy as np

from cmarr.media.audio import read_audio
from cmarr.media.clips import RATE, Clip, Failure, one_by_one
from cmarr.media.spectrum import spoken

WIDTHS = {"functionals": 88, "lld": 25}
"""Level -> numbers of a row: one row of functionals an utterance, or low-level descriptors every 10 ms."""

LEAST = RATE // 10
"""Samples below which openSMILE has no window of the pitch."""


class EgemapsRows:
    """Clips -> rows (T, D) float32 and their times (T,), in seconds from the clip's start.

    level: of `WIDTHS`. pool: rows of descriptors that are averaged into one. trim: as of `LogMelRows`.
    """

    def __init__(self, level: str, pool: int, trim: float):
        import opensmile

        levels = {
            "functionals": opensmile.FeatureLevel.Functionals,
            "lld": opensmile.FeatureLevel.LowLevelDescriptors,
        }
        self.level, self.pool, self.trim = level, pool, trim
        self.smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, levels[level])

    def __call__(self, clips: Sequence[Clip]) -> list[tuple[np.ndarray, np.ndarray] | Failure]:
        """One result a clip."""
        return one_by_one(self._clip, clips)

    def _clip(self, clip: Clip) -> tuple[np.ndarray, np.ndarray] | Failure:
        samples = read_audio(clip)
        span = spoken(samples, self.trim)
        if span.stop - span.start < LEAST:
            return Failure(
                f"{clip.path}: what is spoken lasts {(span.stop - span.start) / RATE * 1000:.0f} ms, and eGeMAPS needs "
                f"{LEAST / RATE * 1000:.0f}; check `start` and `end`, or leave its path empty"
            )
        found = self.smile.process_signal(samples[span], RATE)
        rows = found.to_numpy(np.float32)
        if not np.isfinite(rows).all():
            return Failure(f"{clip.path}: openSMILE finds no number for some features; leave its path empty")
        ends = [found.index.get_level_values(name).total_seconds() for name in ("start", "end")]
        times = np.asarray((ends[0] + ends[1]) / 2 + span.start / RATE, np.float32)
        if self.level == "functionals":
            return rows, times
        parts = range(self.pool, len(rows), self.pool)
        pooled = [[part.mean(0) for part in np.split(x, parts)] for x in (rows, times)]
        return np.stack(pooled[0]), np.asarray(pooled[1], np.float32)
