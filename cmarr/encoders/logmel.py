"""Speech without weights: log-mel bands and their slope, averaged over short stretches."""

from collections.abc import Iterator, Sequence
from functools import partial

from cmarr.declaration import Count, NotNegative, Section, setting
from cmarr.encoders.decoding import clip_features
from cmarr.encoders.protocol import libraries
from cmarr.utterance import FeatureSequence, Rejected, Utterance


class LogMel:
    """`bands` log-mel bands and their deltas of 25 ms frames, one every 10 ms, averaged over `pool` frames.

    Silence at the beginning and the end says how a recording was cut, not how it was spoken: it is left out.
    """

    class Settings(Section):
        """log-mel bands of 25 ms windows every 10 ms, and their change over time"""

        bands: Count = setting(80, "bands, >= 1; a feature vector holds twice as many numbers")
        pool: Count = setting(5, "windows averaged into one frame, >= 1; 5 gives 20 frames/s")
        trim: NotNegative = setting(
            25.0,
            "dB below the loudest window; what is quieter at either end is left out. >= 0; 0 = nothing is",
        )

    modality = "s"

    def __init__(self, settings: Settings, *, workers: int = 2, seconds: float = 60.0):
        from cmarr.media.spectrum import LogMelRows

        self.settings = settings
        self.workers, self.seconds = workers, seconds
        self.dim = 2 * settings.bands
        self.reader = partial(LogMelRows, settings.bands, settings.pool, settings.trim)

    def describe(self) -> dict[str, str]:
        """Name, revision, libraries and parameters."""
        trim = f" trim={self.settings.trim:g}" if self.settings.trim else ""
        return {
            "encoder": "logmel",
            "revision": "1",
            "libraries": libraries("av", "soundfile"),
            "parameters": f"bands={self.settings.bands} pool={self.settings.pool}{trim}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (T, dim), T = ceil((floor((N - 400) / 160) + 1) / pool) of the N samples left."""
        return clip_features(utterances, "s", self.reader, self.workers, self.seconds)


ENCODER = LogMel
