"""Pretrained networks that are trained with a method: from what the shards hold to rows, with gradients.

The rows are those that extraction would write: the same network, chunks, layers and pooling.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cmarr.encoders.networks import (
    FRAME,
    FRAMES_A_SECOND,
    SPEECH_FAMILIES,
    TEXT_FAMILIES,
    Framing,
    LayerChoice,
    Layers,
    SpeechNetwork,
    TextNetwork,
    framing,
    like_sized,
    to_samples,
)
from cmarr.encoders.pretrained import Precision, architecture, configuration, load_checkpoint

Name = Literal["wav2vec2", "bert"]

VARIANCE_FLOOR = 1e-7
"""Added to the variance of an utterance's samples, as transformers' feature extractor does."""

Chunk = tuple[Tensor, int, slice]
"""What a network reads in one go, how many rows it gives, and which of them count."""


class TrainableSpeech(nn.Module):
    """Frames of 16-bit sound, as `waveforms` writes them -> rows of wav2vec 2.0 or its kin.

    standardise: give each utterance's samples mean 0 and variance 1, as the checkpoint was trained
    The other keywords are those of the encoder `wav2vec2`. Without gradients at most `batch_seconds` go through the
    network at once; with them, the whole batch.
    """

    def __init__(
        self,
        network: Any,
        *,
        standardise: bool,
        layers: Layers,
        pool: int,
        precision: Precision,
        longest: float,
        batch_seconds: float,
    ):
        super().__init__()
        choice = LayerChoice("wav2vec2", layers, network.config)
        self.width = choice.width
        self.network = SpeechNetwork(network, choice)
        self.standardise, self.pool, self.precision = standardise, pool, precision
        self.longest = int(longest * FRAMES_A_SECOND) * FRAME
        self.budget = max(int(batch_seconds * FRAMES_A_SECOND), 1)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Ragged frames (sum T, 320), lengths (B,) -> rows (sum T', D) float32, lengths (B,)."""
        chunks = [self._chunks(frames) for frames in torch.split(values, lengths.tolist())]
        rows, counts = _through(self.network, chunks, self.budget, self.precision, self.width, values)
        return _averaged(rows, counts, self.pool) if self.pool > 1 else (rows, counts)

    def _chunks(self, frames: Tensor) -> list[Chunk]:
        if not len(frames):
            return []
        samples = to_samples(frames)
        if self.standardise:
            samples = (samples - samples.mean()) / (samples.var(correction=0) + VARIANCE_FLOOR).sqrt()
        # A protocol that drops steps may leave less than the network can read: silence fills it up.
        samples = pad(samples, (0, max(self.network.field - len(samples), 0)))
        cut = self.network.chunks(len(samples), self.longest)
        return [(samples[first:last], rows, keep) for first, last, rows, keep in cut]

    def front_end(self) -> list[nn.Parameter]:
        """The convolutions below the transformer."""
        return self.network.front_end()


class TrainableText(nn.Module):
    """Numbers of word pieces, as `word_pieces` writes them -> rows of BERT or its kin.

    The keywords are those of the encoder `bert`. Without gradients at most `batch_pieces` go through the network at
    once; with them, the whole batch.
    """

    def __init__(
        self, network: Any, *, framing: Framing, layers: Layers, precision: Precision, batch_pieces: int
    ):
        super().__init__()
        choice = LayerChoice("bert", layers, network.config)
        self.width = choice.width
        self.network = TextNetwork(network, choice, framing.padding)
        self.framing, self.precision, self.budget = framing, precision, batch_pieces

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Ragged numbers (sum T, 1), lengths (B,) -> rows (sum T', D) float32, lengths (B,)."""
        chunks = [self._chunks(ids) for ids in torch.split(values.long().squeeze(1), lengths.tolist())]
        return _through(self.network, chunks, self.budget, self.precision, self.width, values)

    def _chunks(self, ids: Tensor) -> list[Chunk]:
        if not len(ids):
            return []
        before, after = (ids.new_tensor(special) for special in (self.framing.before, self.framing.after))
        cut = self.framing.chunks(len(ids))
        framed = [(torch.cat([before, ids[first:last], after]), keep) for first, last, keep in cut]
        return [(inputs, len(inputs), keep) for inputs, keep in framed]

    def front_end(self) -> list[nn.Parameter]:
        """Nothing: a text network has no convolutions."""
        return []


Trainable = TrainableSpeech | TrainableText


def from_checkpoint(name: Name, settings: Mapping[str, Any]) -> tuple[Trainable, dict[str, Any]]:
    """A pretrained network with its weights, and the description that `from_description` builds it from.

    name: 'wav2vec2' or 'bert'; settings: the section of that encoder in params.yaml.
    Raises UserError, naming the key, when the model is not there.
    """
    own = dict(settings)
    source = own.pop("model"), own.pop("revision")
    if name == "wav2vec2":
        checkpoint = load_checkpoint(name, *source, families=SPEECH_FAMILIES, preparation="feature_extractor")
        reading: dict[str, Any] = {"standardise": bool(checkpoint.preparation.do_normalize)}
    else:
        checkpoint = load_checkpoint(name, *source, families=TEXT_FAMILIES, preparation="tokenizer")
        frame = framing(checkpoint.config, checkpoint.preparation)
        reading = {"framing": [list(frame.before), list(frame.after), frame.limit, frame.padding]}
    description = {
        "encoder": name,
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "config": configuration(checkpoint.network),
        "reading": own | reading,
    }
    return _built(checkpoint.network.requires_grad_(True), description), description


def from_description(description: Mapping[str, Any]) -> Trainable:
    """The same network without its weights; nothing is fetched, no file is read."""
    return _built(architecture(description["config"]), description)


def learning(encoder: Trainable, *, freeze_front_end: bool, checkpointing: bool) -> Trainable:
    """Say how an encoder learns: with its convolutions as they are; computing activations twice to save memory."""
    for weight in encoder.front_end():
        weight.requires_grad_(not freeze_front_end)
    if checkpointing:
        network = encoder.network.network
        enable = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
    return encoder


def _built(network: Any, description: Mapping[str, Any]) -> Trainable:
    if hasattr(network, "pooler"):
        network.pooler = None  # no row depends on it
    if hasattr(network, "masked_spec_embed"):
        network.masked_spec_embed.requires_grad_(False).zero_()  # stands for what is masked at random
    # Both draw at random what a batch loses, one of them outside torch's generators.
    network.config.apply_spec_augment = False
    network.config.layerdrop = 0.0
    reading = dict(description["reading"])
    if description["encoder"] == "wav2vec2":
        return TrainableSpeech(network, **reading)
    before, after, limit, padding = reading.pop("framing")
    return TrainableText(network, framing=Framing(tuple(before), tuple(after), limit, padding), **reading)


def _through(
    network: nn.Module,
    utterances: Sequence[Sequence[Chunk]],
    budget: int,
    precision: Precision,
    width: int,
    like: Tensor,
) -> tuple[Tensor, Tensor]:
    """The rows that count of every utterance's chunks, one after another, (sum T', width), and lengths (B,)."""
    chunks = [chunk for utterance in utterances for chunk in utterance]
    found: dict[int, Tensor] = {}
    with torch.autocast(like.device.type, torch.bfloat16, enabled=precision == "bf16"):
        for batch in _batches(chunks, budget):
            for place, rows in zip(batch, network([chunks[i][0] for i in batch]), strict=True):
                found[place] = rows[chunks[place][2]].float()
    ordered = [found[i] for i in range(len(chunks))]
    counts = iter([len(rows) for rows in ordered])
    lengths = [sum(next(counts) for _ in utterance) for utterance in utterances]
    rows = torch.cat(ordered) if ordered else like.new_zeros(0, width, dtype=torch.float32)
    return rows, torch.tensor(lengths, device=like.device)


def _batches(chunks: Sequence[Chunk], budget: int) -> Iterator[list[int]]:
    """Places of the chunks that go through the network together; with gradients, all of them."""
    if not torch.is_grad_enabled():
        yield from like_sized([size for _, size, _ in chunks], budget)
    elif chunks:
        yield list(range(len(chunks)))


def _averaged(rows: Tensor, lengths: Tensor, pool: int) -> tuple[Tensor, Tensor]:
    """`pool` neighbours of an utterance averaged into one row; its last row averages what is left."""
    parts = [
        part for own in torch.split(rows, lengths.tolist()) for part in torch.split(own, pool) if len(part)
    ]
    shorter = lengths.add(pool - 1).div(pool, rounding_mode="floor")
    return torch.stack([part.mean(0) for part in parts]) if parts else rows, shorter
