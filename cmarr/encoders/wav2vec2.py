"""Speech through wav2vec 2.0 (Baevski et al. 2020), HuBERT or WavLM, as transformers has them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from cmarr.declaration import Count, Place, Positive, Section, setting
from cmarr.encoders.batches import Chunk, Prepared, Ready, in_batches
from cmarr.encoders.decoding import decoded
from cmarr.encoders.networks import LAYERS, SPEECH_FAMILIES, ChosenLayers, LayerChoice, SpeechNetwork
from cmarr.encoders.pretrained import PRECISION, Arithmetic, Checkpoint, Precision, load_checkpoint
from cmarr.encoders.protocol import STAGE, libraries
from cmarr.errors import UserError
from cmarr.media.clips import RATE
from cmarr.utterance import FeatureSequence, Rejected, Utterance

MODEL, REVISION = "facebook/wav2vec2-base", "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8"


class Wav2vec2:
    """One row every 20 ms, (T, D): T = floor((N - 400) / 320) + 1 for N samples at 16 kHz.

    An utterance longer than `longest` seconds is read in equal chunks that overlap by
    a quarter, each row taken from the chunk in which it lies further from an end; its samples are normalised as a
    whole, as always.

    In float32 a row differs by less than 1e-5 from what transformers gives for the utterance alone.
    """

    class Settings(Section):
        """a pretrained network: wav2vec 2.0, HuBERT or WavLM; a row every 20 ms. See docs/encoders.md"""

        model: Place = setting(
            MODEL, "an id on the model hub, fetched on first use, or a folder that holds the model"
        )
        revision: str = setting(
            REVISION, "commit of that id (another model has other ones); folders have none"
        )
        layers: ChosenLayers = setting("last", LAYERS)
        pool: Count = setting(1, "rows averaged into one, >= 1; 2 gives 25 rows/s")
        precision: Precision = setting("fp32", PRECISION)
        longest: Positive = setting(
            60.0, "seconds, > 0; a longer utterance is read in chunks that overlap by a quarter"
        )
        batch_seconds: Positive = setting(
            10.0,
            "seconds of sound that go through the network at once, > 0; changes memory and speed, rows by < 1e-5",
        )

    modality, trainable_input = "s", "waveforms"

    def __init__(
        self,
        settings: Settings,
        *,
        device: str = "auto",
        workers: int = 2,
        seconds: float = 60.0,
        window: int = 64,
    ):
        checkpoint = load_checkpoint(
            "wav2vec2",
            settings.model,
            settings.revision,
            families=SPEECH_FAMILIES,
            preparation="feature_extractor",
        )
        self.checkpoint = checkpoint
        self.layers = LayerChoice("wav2vec2", settings.layers, checkpoint.config)
        self.arithmetic = Arithmetic(device, settings.precision)
        self.network = SpeechRows(checkpoint, self.layers, self.arithmetic)
        self.pool, self.longest, self.batch_seconds = settings.pool, settings.longest, settings.batch_seconds
        self.workers, self.seconds, self.window = workers, seconds, window
        self.dim = self.layers.width
        from cmarr.media.audio import Samples

        self.reader = Samples

    def describe(self) -> dict[str, str]:
        """Name, model, revision, libraries and parameters."""
        return {
            "encoder": "wav2vec2",
            "model": self.checkpoint.name,
            "revision": self.checkpoint.revision,
            "libraries": libraries("torch", "transformers", "av", "soundfile"),
            "parameters": f"layers={self.layers} pool={self.pool} precision={self.arithmetic.precision} "
            f"longest={self.longest}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (ceil(T / pool), dim)."""
        results = in_batches(
            self.prepared(utterances),
            self.network,
            window=self.window,
            budget=max(int(self.batch_seconds * RATE / self.network.stride), 1),
            threads=self.arithmetic.threads(self.workers),
        )
        for result in results:
            if isinstance(result, Rejected) or self.pool == 1:
                yield result
            else:
                yield FeatureSequence(result.id, *averaged(result.frames, result.times, self.pool))

    def prepared(self, utterances: Sequence[Utterance]) -> Iterator[Ready]:
        """Decoded, normalised, cut into chunks where they are long."""
        for utterance, samples in recorded(utterances, self.network.field, self.workers, self.seconds):
            yield samples if isinstance(samples, Rejected) else self.cut(utterance.id, samples)

    def cut(self, name: str, samples: np.ndarray) -> Prepared:
        """Samples (N,) as the network wants them, in chunks of at most `longest` seconds."""
        stride, field = self.network.stride, self.network.field
        values = self.network.normalised(samples)
        cuts = self.network.module.chunks(len(values), int(self.longest * RATE))
        chunks = [Chunk(values[first:last], rows, keep) for first, last, rows, keep in cuts]
        total = (len(values) - field) // stride + 1
        return Prepared(name, chunks, (np.arange(total, dtype=np.float32) * stride + field / 2) / RATE)


class SpeechRows:
    """Samples of several utterances -> the rows of each, as NumPy arrays and without gradients."""

    def __init__(self, checkpoint: Checkpoint, layers: LayerChoice, arithmetic: Arithmetic):
        self.preparation, self.arithmetic = checkpoint.preparation, arithmetic
        require_rate(self.preparation)
        self.module = SpeechNetwork(arithmetic.place(checkpoint.network), layers)
        self.stride, self.field = self.module.stride, self.module.field

    def normalised(self, samples: np.ndarray) -> np.ndarray:
        """Samples (N,) with the mean and variance that the checkpoint was trained on."""
        given = self.preparation(samples, sampling_rate=RATE, return_tensors="np")
        values: np.ndarray = given["input_values"][0]
        return values.astype(np.float32, copy=False)

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Normalised samples (N,) of each utterance -> rows (T, D) float32 of each."""
        with self.arithmetic():
            rows = self.module([torch.from_numpy(samples).to(self.arithmetic.device) for samples in inputs])
            return [row.float().cpu().numpy() for row in rows]


def recorded(
    utterances: Sequence[Utterance], least: int, workers: int, seconds: float
) -> Iterator[tuple[Utterance, np.ndarray | Rejected]]:
    """Each utterance with its samples (N,) at 16 kHz, N at least `least`; decoded in worker processes."""
    from cmarr.media.audio import Samples

    for utterance, samples in decoded(utterances, "s", Samples, workers, seconds):
        if not isinstance(samples, Rejected) and len(samples) < least:
            lasts, wanted = (1000 * n / RATE for n in (len(samples), least))
            reason = (
                f"{utterance.audio}: the utterance lasts {lasts:.0f} ms, shorter than the {wanted:.0f} ms of one "
                "frame; check `start` and `end`, or leave its path empty"
            )
            yield utterance, Rejected(utterance.id, "s", STAGE, reason)
        else:
            yield utterance, samples


def averaged(rows: np.ndarray, times: np.ndarray, pool: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (T, D) and times (T,), each `pool` neighbours averaged into one; the last row averages what is left."""
    firsts = np.arange(0, len(rows), pool)
    counts = np.diff([*firsts, len(rows)])
    mean = np.add.reduceat(rows, firsts, axis=0) / counts[:, None]
    return mean.astype(np.float32), (np.add.reduceat(times, firsts) / counts).astype(np.float32)


def require_rate(preparation: Any) -> None:
    """Refuse a checkpoint made for another sampling rate. Raises UserError."""
    if preparation.sampling_rate != RATE:
        raise UserError(
            f"encoders.wav2vec2.model: this model wants {preparation.sampling_rate} Hz, cmarr gives {RATE} Hz; "
            "take another one"
        )


ENCODER = Wav2vec2
