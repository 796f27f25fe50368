"""Samples to log-mel rows, in a worker process."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cmarr.media.audio import RATE, read_audio
from cmarr.media.clips import Clip, Failure, one_by_one

if TYPE_CHECKING:
    import torch

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
        import torch
        from torchaudio.functional import melscale_fbanks

        torch.set_num_threads(1)
        self.pool, self.trim = pool, trim
        self.window = torch.hann_window(FRAME, periodic=False)
        self.bank = melscale_fbanks(FFT // 2 + 1, 20.0, RATE / 2, bands, RATE)  # (257, bands)

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
        import torch
        from torchaudio.functional import compute_deltas

        frames = torch.from_numpy(samples).unfold(0, FRAME, STEP)  # (F, 400)
        middles = (torch.arange(len(frames)) * STEP + FRAME / 2) / RATE  # (F,) seconds
        heard = _loud(frames, self.trim)
        frames, middles = frames[heard], middles[heard]
        power = torch.fft.rfft(frames * self.window, n=FFT).abs().square()  # (F, 257)
        bands = torch.log(power @ self.bank + FLOOR)  # (F, bands)
        both = torch.cat([bands, compute_deltas(bands.T).T], dim=1)  # (F, 2 bands)
        rows = torch.stack([part.mean(dim=0) for part in torch.split(both, self.pool)])  # (T, 2 bands)
        times = torch.stack([part.mean() for part in torch.split(middles, self.pool)])  # (T,)
        return rows.numpy(), times.numpy()


def spoken(samples: np.ndarray, trim: float) -> slice:
    """The samples (N,) at 16 kHz from the first to the last window that is within `trim` dB of the loudest; 0: all."""
    import torch

    if not trim or len(samples) < FRAME:
        return slice(0, len(samples))
    heard = _loud(torch.from_numpy(samples).unfold(0, FRAME, STEP), trim)
    return slice(heard.start * STEP, (heard.stop - 1) * STEP + FRAME)


def _loud(frames: "torch.Tensor", trim: float) -> slice:
    """Of windows (F, 400), from the first to the last within `trim` dB of the loudest; 0: all."""
    if not trim:
        return slice(0, len(frames))
    level = frames.var(1, correction=0)
    loud = (level >= level.max() * 10 ** (-trim / 10)).nonzero()
    return slice(int(loud[0]), int(loud[-1]) + 1)
