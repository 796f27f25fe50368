"""Speech as eGeMAPS, the features that speech scientists agreed on, computed by openSMILE (the extra `opensmile`)."""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Literal

from cmarr.declaration import Count, NotNegative, Section, setting
from cmarr.encoders.decoding import clip_features
from cmarr.encoders.protocol import libraries
from cmarr.errors import UserError
from cmarr.utterance import FeatureSequence, Rejected, Utterance


class Egemaps:
    """Loudness, pitch, voice quality, formants and spectral slopes: eGeMAPS v02 (Eyben et al. 2016).

    Raises UserError where the package is not installed.
    """

    class Settings(Section):
        """acoustic features for voice research, by the package opensmile, whose licence allows research alone"""

        level: Literal["functionals", "lld"] = setting(
            "functionals",
            "functionals = 88 numbers an utterance; lld = the 25 descriptors that they are made of, in time",
        )
        pool: Count = setting(5, "descriptors, one every 10 ms, averaged into one row, >= 1; counts for lld")
        trim: NotNegative = setting(25.0, "as in logmel")

    modality = "s"

    def __init__(self, settings: Settings, *, workers: int = 2, seconds: float = 60.0):
        if find_spec("opensmile") is None:
            raise UserError(
                "encoders.speech: egemaps needs the package opensmile, which is not installed; `pip install "
                "'cmarr[opensmile]'`, or take logmel"
            )
        from cmarr.media.egemaps import WIDTHS, EgemapsRows

        self.settings, self.workers, self.seconds = settings, workers, seconds
        self.dim = WIDTHS[settings.level]
        self.reader = partial(EgemapsRows, settings.level, settings.pool, settings.trim)

    def describe(self) -> dict[str, str]:
        """Name, revision, libraries and parameters."""
        return {
            "encoder": "egemaps",
            "revision": "v02",
            "libraries": libraries("opensmile", "av", "soundfile"),
            "parameters": " ".join(f"{key}={value}" for key, value in self.settings.model_dump().items()),
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (1, 88), or (T, 25) with a row every `pool` * 10 ms."""
        return clip_features(utterances, "s", self.reader, self.workers, self.seconds)


ENCODER = Egemaps
