"""Speech without weights: log-mel bands and their slope, averaged over short stretches."""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version

from cmarr.encoders.decoding import clip_features
from cmarr.media.spectrum import LogMelRows
from cmarr.sequence import FeatureSequence
from cmarr.utterance import Rejected, Utterance


class LogMel:
    """`bands` log-mel bands and their deltas of 25 ms frames, one every 10 ms, averaged over `pool` frames.

    `pool` 5 gives 20 rows a second. `workers` processes decode and compute; an utterance may take
    `seconds`.
    """

    modality = "s"

    def __init__(self, bands: int = 80, pool: int = 5, workers: int = 2, seconds: float = 60.0):
        self.bands, self.pool = bands, pool
        self.workers, self.seconds = workers, seconds
        self.dim = 2 * bands
        self.reader = partial(LogMelRows, bands, pool)

    def describe(self) -> dict[str, str]:
        """Name, revision, libraries and parameters."""
        return {
            "encoder": "logmel",
            "revision": "1",
            "libraries": " ".join(f"{name} {version(name)}" for name in ("torchaudio", "av", "soundfile")),
            "parameters": f"bands={self.bands} pool={self.pool}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (T, dim), T = ceil((floor((N - 400) / 160) + 1) / pool) of N samples."""
        return clip_features(utterances, "s", self.reader, self.workers, self.seconds)


ENCODER = LogMel
