"""Speech as it is: the input of a speech network that is trained with the method."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from cmarr.declaration import Place, Section, setting
from cmarr.encoders.networks import FRAME, SPEECH_FAMILIES, LayerChoice, SpeechNetwork, to_frames
from cmarr.encoders.pretrained import load_checkpoint
from cmarr.encoders.protocol import libraries
from cmarr.encoders.wav2vec2 import MODEL, REVISION, recorded, require_rate
from cmarr.media.clips import RATE
from cmarr.utterance import FeatureSequence, Rejected, Utterance


class Waveforms:
    """16 kHz mono, 16 bit, in frames of 20 ms: (T, 320) int16, T = ceil(N / 320) for N samples.

    The network that will read them must be there, and an utterance too short for it is rejected; with `least` it need
    not.
    """

    class Settings(Section):
        """what a speech network that is trained with the method reads"""

        model: Place = setting(MODEL, "the network, as in wav2vec2")
        revision: str = setting(REVISION, "as in wav2vec2")
        least: Annotated[int, Field(ge=0, le=2**20)] = setting(
            0, "samples that the network needs to answer at all; 0 = ask the network"
        )

    modality, input_of = "s", "wav2vec2"
    dim = FRAME

    def __init__(self, settings: Settings, *, workers: int = 2, seconds: float = 60.0):
        model, revision, least = settings.model, settings.revision, settings.least
        self.model, self.revision, self.least = model, revision, least
        if not least:
            checkpoint = load_checkpoint(
                "wav2vec2", model, revision, families=SPEECH_FAMILIES, preparation="feature_extractor"
            )
            require_rate(checkpoint.preparation)
            self.model, self.revision = checkpoint.name, checkpoint.revision
            layers = LayerChoice("wav2vec2", "last", checkpoint.config)
            self.least = SpeechNetwork(checkpoint.network, layers).field
        from cmarr.media.audio import Samples

        self.reader = Samples
        self.workers, self.seconds = workers, seconds

    def describe(self) -> dict[str, str]:
        """Name, the model they are for, its revision, and the libraries."""
        return {
            "encoder": "waveforms",
            "model": self.model,
            "revision": self.revision,
            "libraries": libraries("av", "soundfile"),
            "parameters": f"rate={RATE} frame={FRAME}",
        }

    def exported(self, _: Path) -> dict[str, Any]:
        """Settings that need no network: an exported model holds it in its weights."""
        return {"model": self.model, "revision": self.revision, "least": self.least}

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance; `times` are the middles of its frames."""
        for utterance, samples in recorded(utterances, self.least, self.workers, self.seconds):
            if isinstance(samples, Rejected):
                yield samples
            else:
                frames = to_frames(samples)
                times = (np.arange(len(frames), dtype=np.float32) + 0.5) * FRAME / RATE
                yield FeatureSequence(utterance.id, frames, times)


ENCODER = Waveforms
