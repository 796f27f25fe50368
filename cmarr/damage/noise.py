"""Speech in noise, at a signal-to-noise ratio over the whole utterance."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cmarr.damage.chance import generator
from cmarr.errors import Unreadable
from cmarr.media.audio import read_audio
from cmarr.media.clips import Clip

TALKERS = 6
"""Utterances of other speakers that make up babble."""


@dataclass(frozen=True)
class WhiteNoise:
    """Gaussian noise with the same power at all frequencies, `snr` dB below the speech."""

    snr: float
    seed: int
    id: str

    def __call__(self, samples: np.ndarray, time: float) -> np.ndarray:
        """Samples (N,) with the noise added; not clipped."""
        drawn = generator(self.seed, "noise", self.id).standard_normal(len(samples), np.float32)
        return with_noise(samples, drawn, self.snr)


@dataclass(frozen=True)
class Babble:
    """Other people talking at once, all equally loud, `snr` dB below the speech together.

    clips: theirs; names: their utterances'. Each begins at a place of its own and starts over when it ends; one
    that cannot be read is left out. Raises Unreadable, when called, if none can be read.
    """

    snr: float
    seed: int
    id: str
    names: tuple[str, ...]
    clips: tuple[Clip, ...] = field(repr=False)

    def __call__(self, samples: np.ndarray, time: float) -> np.ndarray:
        """Samples (N,) with the babble added; not clipped."""
        draw = generator(self.seed, "babble", self.id)
        mixed = np.zeros(len(samples), np.float32)
        for clip in self.clips:
            begin = draw.random()
            try:
                voice = read_audio(clip)
            except Unreadable:
                continue
            voice = np.resize(np.roll(voice, -int(begin * len(voice))), len(samples))
            mixed += voice / max(float(np.linalg.norm(voice)), 1e-6)
        if not mixed.any():
            raise Unreadable(
                f"none of the utterances {', '.join(self.names)}, which make babble, can be read"
            )
        return with_noise(samples, mixed, self.snr)


def with_noise(samples: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Samples (N,) plus noise (N,) scaled to `snr` dB, by torchaudio; infinity adds nothing."""
    import torch
    from torchaudio.functional import add_noise

    mixed = add_noise(torch.from_numpy(samples), torch.from_numpy(noise), torch.tensor(float(snr)))
    return mixed.numpy()


def choose_talkers(
    id: str, speaker: str | None, heard: Sequence[tuple[str, str | None]], seed: int
) -> list[str]:
    """Ids of `TALKERS` utterances for babble over utterance `id`, of other speakers where there are any.

    heard: (id, speaker) of every utterance of the corpus that has sound, in any order.
    """
    others = sorted(name for name, who in heard if name != id and (who is None or who != speaker))
    others = others or sorted(name for name, _ in heard if name != id)
    count = min(TALKERS, len(others))
    return [others[i] for i in generator(seed, "talkers", id).choice(len(others), count, replace=False)]
