"""Speech through wav2vec 2.0 (Baevski et al. 2020), HuBERT or WavLM, as transformers has them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad

from cmarr.corpora.manifest import Rejected, Utterance
from cmarr.encoders.answers import clip_of
from cmarr.encoders.batches import Piece, Prepared, Ready, in_batches, spans
from cmarr.encoders.checkpoints import Checkpoint, libraries, load_checkpoint
from cmarr.encoders.hidden_layers import LayerChoice, Layers
from cmarr.encoders.precision import Arithmetic, Precision
from cmarr.encoders.protocol import STAGE
from cmarr.errors import UserError
from cmarr.features.shards import FeatureSequence
from cmarr.media.audio import RATE, Samples
from cmarr.media.clips import Failure, by_file
from cmarr.media.spectrum import averaged
from cmarr.media.workers import decode

FAMILIES = ("wav2vec2", "hubert", "wavlm")
"""Families whose features are proven, by a test, not to depend on what else is in the batch."""

MODEL, REVISION = "facebook/wav2vec2-base", "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8"


class Wav2vec2:
    """One row every 20 ms, (T, D): T = floor((N - 400) / 320) + 1 for N samples at 16 kHz.

    `model` is an id on the hub, at `revision`, or a folder; `layers` 'last', 'all' or numbers to average; `pool`
    rows are averaged into one. An utterance longer than `longest` seconds is read in equal stretches that overlap by
    a quarter, each row taken from the stretch in which it lies further from an end; its samples are normalised as a
    whole, as always.

    In float32 a row differs by less than 1e-5 from what transformers gives for the utterance alone. `batch_seconds`
    bounds what goes through the network at once, `workers` the processes that decode and the threads that compute,
    `seconds` the decoding of an utterance, `window` how many are sorted by length at a time.
    """

    modality = "s"

    def __init__(
        self,
        model: str = MODEL,
        revision: str = REVISION,
        layers: Layers = "last",
        pool: int = 1,
        precision: Precision = "fp32",
        longest: float = 60.0,
        batch_seconds: float = 10.0,
        device: str = "auto",
        workers: int = 2,
        seconds: float = 60.0,
        window: int = 64,
    ):
        checkpoint = load_checkpoint(
            "wav2vec2", model, revision, families=FAMILIES, preparation="feature_extractor"
        )
        self.checkpoint = checkpoint
        self.layers = LayerChoice("wav2vec2", layers, checkpoint.config)
        self.arithmetic = Arithmetic(device, precision)
        self.network = SpeechNetwork(checkpoint, self.layers, self.arithmetic)
        self.pool, self.longest, self.batch_seconds = pool, longest, batch_seconds
        self.workers, self.seconds, self.window = workers, seconds, window
        self.dim = self.layers.width

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
        answers = in_batches(
            self.prepared(utterances),
            self.network,
            window=self.window,
            budget=max(int(self.batch_seconds * RATE / self.network.stride), 1),
            threads=self.arithmetic.threads(self.workers),
        )
        for answer in answers:
            if isinstance(answer, Rejected) or self.pool == 1:
                yield answer
            else:
                yield FeatureSequence(answer.id, *averaged(answer.frames, answer.times, self.pool))

    def prepared(self, utterances: Sequence[Utterance]) -> Iterator[Ready]:
        """Decoded in worker processes, normalised, cut into stretches where they are long."""
        groups = by_file(clip_of(utterance, "s") for utterance in utterances)
        answers = decode(Samples, groups, self.workers, self.seconds)
        for utterance, answer in zip(utterances, answers, strict=True):
            if isinstance(answer, Failure):
                yield Rejected(utterance.id, "s", STAGE, answer.reason)
            elif len(answer) < self.network.field:
                lasts, least = (1000 * n / RATE for n in (len(answer), self.network.field))
                yield Rejected(
                    utterance.id,
                    "s",
                    STAGE,
                    f"{utterance.audio}: the utterance lasts {lasts:.0f} ms, shorter than the {least:.0f} ms of one "
                    "frame; check `start` and `end`, or leave its path empty",
                )
            else:
                yield self.cut(utterance.id, answer)

    def cut(self, name: str, samples: np.ndarray) -> Prepared:
        """Samples (N,) as the network wants them, in stretches of at most `longest` seconds."""
        stride, field = self.network.stride, self.network.field
        values = self.network.normalised(samples)
        total = (len(values) - field) // stride + 1
        longest = max(int(self.longest * RATE - field) // stride + 1, 1)
        # The last stretch has all the samples that are left: they make no row, but count in the group norm.
        ends = {total: len(values)}
        pieces = [
            Piece(values[first * stride : ends.get(last, (last - 1) * stride + field)], last - first, keep)
            for first, last, keep in spans(total, longest, longest // 4)
        ]
        return Prepared(name, pieces, (np.arange(total, dtype=np.float32) * stride + field / 2) / RATE)


class SpeechNetwork:
    """Samples of several utterances -> the rows of each.

    The convolutions run over one utterance at a time: their group norm takes its statistics over all frames it is
    given, so a padded batch would change them, and they gain nothing from one. Their output is padded and goes through
    the transformer together, masked.
    """

    def __init__(self, checkpoint: Checkpoint, layers: LayerChoice, arithmetic: Arithmetic):
        self.preparation = checkpoint.preparation
        self.layers, self.arithmetic = layers, arithmetic
        config, network = checkpoint.config, checkpoint.network
        _require_known_parts(config, self.preparation)
        self.stride = int(np.prod(config.conv_stride))
        self.field = _receptive_field(config.conv_kernel, config.conv_stride)
        network = arithmetic.place(network)
        first, *rest = network.feature_extractor.conv_layers
        # The first one reads a single channel: bfloat16 makes it twice as slow on a CPU, and less exact.
        self.first, self.rest = first.float(), nn.Sequential(*rest)
        network.feature_extractor = nn.Identity()  # the network is handed what the convolutions gave
        self.network = network

    def normalised(self, samples: np.ndarray) -> np.ndarray:
        """Samples (N,) with the mean and variance that the checkpoint was trained on."""
        given = self.preparation(samples, sampling_rate=RATE, return_tensors="np")
        return given["input_values"][0].astype(np.float32, copy=False)

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Normalised samples (N,) of each utterance -> rows (T, D) float32 of each."""
        with self.arithmetic():
            heard = [self._convolved(samples) for samples in inputs]  # (C, T) each
            lengths = [frames.shape[-1] for frames in heard]
            longest = max(lengths)
            batch = torch.stack(
                [pad(frames, (0, longest - frames.shape[-1])) for frames in heard]
            )  # (B, C, T)
            output = self.network(
                batch, attention_mask=self._mask(inputs, lengths), output_hidden_states=self.layers.needs_all
            )
            rows = self.layers.rows(output).float().cpu().numpy()  # (B, T, D)
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    def _convolved(self, samples: np.ndarray) -> torch.Tensor:
        device = self.arithmetic.device
        with torch.autocast(device.type, enabled=False):
            heard = self.first(torch.from_numpy(samples)[None, None].to(device))  # (1, C, T')
        return self.rest(heard)[0]

    def _mask(self, inputs: Sequence[np.ndarray], lengths: Sequence[int]) -> torch.Tensor | None:
        """What transformers wants: (B, N) of samples, from which it counts the frames."""
        if len(set(lengths)) == 1:
            return None
        counts = torch.tensor([len(samples) for samples in inputs], device=self.arithmetic.device)
        return (torch.arange(int(counts.max()), device=counts.device) < counts[:, None]).long()


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    field, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * step
        step *= stride
    return field


def _require_known_parts(config, preparation) -> None:
    if getattr(config, "add_adapter", False) or getattr(config, "conv_pos_batch_norm", False):
        part = "an adapter" if getattr(config, "add_adapter", False) else "a batch norm over positions"
        raise UserError(
            f"encoders.wav2vec2.model: this model has {part}, which cmarr does not run; take another one"
        )
    if preparation.sampling_rate != RATE:
        raise UserError(
            f"encoders.wav2vec2.model: this model wants {preparation.sampling_rate} Hz, cmarr gives {RATE} Hz; "
            "take another one"
        )
