"""Samples to log-mel rows, in a worker process."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from cmarr.media.audio import read_audio
from cmarr.media.clips import RATE, Clip, Failure, one_by_one

FRAME, STEP = 400, 160
"""25 ms and 10 ms, in samples at 16 kHz."""
FFT = 512
FLOOR = 1e-6
"""Power added before the logarithm. It lies some 20 dB above the rounding noise of 16-bit audio in one band, so
that digital silence and faint codec noise, which say nothing, do not stretch the scale: on RAVDESS a linear model
reads 3 points more than with a floor at the rounding noise itself."""


class LogMelRows:
    """Clips -> rows (T, 2 x bands) float32 and their times (T,), in seconds from the clip's start.

    trim: dB below the loudest window; what is quieter at either end has no row. 0: everything has.
    """

    def __init__(self, bands: int, pool: int, trim: float = 0.0):
        self.pool, self.trim = pool, trim
        self.window = np.hanning(FRAME).astype(np.float32)
        self.bank = mel_bank(bands)  # (257, bands)

    def __call__(self, clips: Sequence[Clip]) -> list[tuple[np.ndarray, np.ndarray] | Failure]:
        """One result a clip."""
        return one_by_one(self._clip, clips)

    def _clip(self, clip: Clip) -> tuple[np.ndarray, np.ndarray] | Failure:
        samples = read_audio(clip)
        if len(samples) < FRAME:
            return Failure(
                f"{clip.path}: the utterance lasts {len(samples) / RATE * 1000:.0f} ms, shorter than one "
                "frame of 25 ms; check `start` and `end`, or leave its path empty"
            )
        return self.rows(samples)

    def rows(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of 16 kHz samples (N,), N >= 400. The last row averages the frames that are left."""
        frames = sliding_window_view(samples, FRAME)[::STEP]  # (F, 400)
        middles = (np.arange(len(frames), dtype=np.float32) * STEP + FRAME / 2) / RATE  # (F,) seconds
        heard = _loud(frames, self.trim)
        frames, middles = frames[heard], middles[heard]
        power = np.square(np.abs(fft.rfft(frames * self.window, n=FFT)))  # (F, 257)
        bands = np.log(power @ self.bank + np.float32(FLOOR))  # (F, bands)
        both = np.concatenate([bands, slope(bands)], axis=1)  # (F, 2 bands)
        return _averaged(both, self.pool), _averaged(middles, self.pool)


def _averaged(values: np.ndarray, pool: int) -> np.ndarray:
    """Means over stretches of `pool` of (F, ...); the last one has what is left."""
    starts = np.arange(0, len(values), pool)
    counts = np.diff(starts, append=len(values)).reshape(-1, *[1] * (values.ndim - 1))
    return (np.add.reduceat(values, starts, axis=0) / counts).astype(np.float32)


def mel_bank(bands: int) -> np.ndarray:
    """Weights (257, bands) float32 of triangles evenly spaced from 20 Hz to 8 kHz in mel = 2595 log10(1 + f / 700).

    Each rises from 0 at the middle of the one before to 1 at its own, and falls to 0 at that of the next.

    >>> mel_bank(80).shape
    (257, 80)
    """
    lowest, highest = 2595 * np.log10(1 + np.array([20, RATE / 2]) / 700)
    corners = 700 * (10 ** (np.linspace(lowest, highest, bands + 2) / 2595) - 1)  # (bands + 2,) Hz
    away = corners - np.linspace(0, RATE / 2, FFT // 2 + 1)[:, None]  # (257, bands + 2)
    width = np.diff(corners)
    return np.clip(np.minimum(-away[:, :-2] / width[:-1], away[:, 2:] / width[1:]), 0, None).astype(
        np.float32
    )


def slope(rows: np.ndarray) -> np.ndarray:
    """Rows (T, D) -> (T, D): the slope of the line through a row and two on either side; the ends are repeated.

    >>> slope(3 * np.arange(6.0)[:, None])[2:4, 0]
    array([3., 3.])
    """
    padded = np.pad(rows, ((2, 2), (0, 0)), mode="edge")  # (T + 4, D)
    rises: np.ndarray = 2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]
    return rises / 10


def spoken(samples: np.ndarray, trim: float) -> slice:
    """The samples (N,) at 16 kHz from the first to the last window that is within `trim` dB of the loudest; 0: all."""
    if not trim or len(samples) < FRAME:
        return slice(0, len(samples))
    heard = _loud(sliding_window_view(samples, FRAME)[::STEP], trim)
    return slice(heard.start * STEP, (heard.stop - 1) * STEP + FRAME)


def _loud(frames: np.ndarray, trim: float) -> slice:
    """Of windows (F, 400), from the first to the last within `trim` dB of the loudest; 0: all."""
    if not trim:
        return slice(0, len(frames))
    level = frames.var(axis=1)
    (loud,) = np.nonzero(level >= level.max() * 10 ** (-trim / 10))
    return slice(int(loud[0]), int(loud[-1]) + 1)
