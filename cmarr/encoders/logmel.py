"""Speech without weights: log-mel bands and their slope, averaged over short stretches."""

from collections.abc import Iterator, Sequence
from functools import partial

from cmarr.declaration import Count, Section, setting
from cmarr.encoders.decoding import clip_features
from cmarr.encoders.protocol import libraries
from cmarr.media.spectrum import LogMelRows
from cmarr.utterance import FeatureSequence, Rejected, Utterance


class LogMel:
    """`bands` log-mel bands and their deltas of 25 ms frames, one every 10 ms, averaged over `pool` frames."""

    class Settings(Section):
        """log-mel bands of 25 ms windows every 10 ms, and their change over time"""

        bands: Count = setting(80, "bands, >= 1; a feature vector holds twice as many numbers")
        pool: Count = setting(5, "windows averaged into one frame, >= 1; 5 gives 20 frames/s")

    modality = "s"

    def __init__(self, settings: Settings, *, workers: int = 2, seconds: float = 60.0):
        bands, pool = settings.bands, settings.pool
        self.bands, self.pool = bands, pool
        self.workers, self.seconds = workers, seconds
        self.dim = 2 * bands
        self.reader = partial(LogMelRows, bands, pool)

    def describe(self) -> dict[str, str]:
        """Name, revision, libraries and parameters."""
        return {
            "encoder": "logmel",
            "revision": "1",
            "libraries": libraries("torchaudio", "av", "soundfile"),
            "parameters": f"bands={self.bands} pool={self.pool}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (T, dim), T = ceil((floor((N - 400) / 160) + 1) / pool) of N samples."""
        return clip_features(utterances, "s", self.reader, self.workers, self.seconds)


ENCODER = LogMel
