"""Pretrained networks taken apart, so that a row depends on its own utterance alone: what they read, what they give."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, cat, nn, stack
from torch.nn.functional import pad

from cmarr.declaration import CountOrZero
from cmarr.errors import UserError

Layers = str | Sequence[int]
ChosenLayers = Literal["last", "all"] | Annotated[tuple[CountOrZero, ...], Field(min_length=1)]
LAYERS = (
    "last; [9, 10, 11] = the mean of these, 0 being the input of the first; all = 0 to last side by side, for the "
    "methods to weigh in training, and that many times as large"
)


class LayerChoice:
    """Turns a network's output into rows.

    'last' is what transformers calls `last_hidden_state`. Whole numbers are averaged: 0 is what enters the first
    layer, n what leaves the n-th (in models that end with a layer norm of their own, before that norm). 'all' puts 0
    to n side by side, so that a method's first linear map weighs the layers itself, in training.
    """

    def __init__(self, encoder: str, layers: Layers, config: Any):
        self.layers = layers
        self.deepest = int(config.num_hidden_layers)
        if isinstance(layers, str):
            fits = layers in ("last", "all")
        else:
            fits = bool(layers) and all(isinstance(n, int) and 0 <= n <= self.deepest for n in layers)
        if not fits:
            raise UserError(
                f"encoders.{encoder}.layers: {layers!r} is not last, all, or a list of layers from 0 to "
                f"{self.deepest}, which is what this model has"
            )
        self.width = int(config.hidden_size) * (self.deepest + 1 if layers == "all" else 1)

    @property
    def needs_all(self) -> bool:
        """Whether the network has to hand out the output of every layer."""
        return self.layers != "last"

    def rows(self, output: Any) -> Tensor:
        """Features (B, T, width) of an output of the network."""
        if self.layers == "last":
            last: Tensor = output.last_hidden_state
            return last
        states: list[Tensor] = list(output.hidden_states)
        if isinstance(self.layers, str):
            return cat(states, dim=-1)
        return stack([states[n].float() for n in self.layers]).mean(dim=0)

    def __str__(self) -> str:
        return self.layers if isinstance(self.layers, str) else ",".join(map(str, self.layers))


def spans(total: int, longest: int, overlap: int) -> list[tuple[int, int, slice]]:
    """Cut 0 .. `total` into chunks of at most `longest` units: (start, stop, which of its units count).

    Chunks are equally long and overlap by about `overlap` units, half of which each of them keeps: every unit is
    seen with its surroundings on both sides, but for the beginning and the end.
    """
    if total <= longest:
        return [(0, total, slice(0, total))]
    number = -(-(total - overlap) // (longest - overlap))
    length = -(-(total + (number - 1) * overlap) // number)
    starts = [round(i * (total - length) / (number - 1)) for i in range(number)]
    borders = [(a + length + b) // 2 for a, b in itertools.pairwise(starts)]
    return [
        (start, start + length, slice(first - start, last - start))
        for start, first, last in zip(starts, [0, *borders], [*borders, total], strict=True)
    ]


SPEECH_FAMILIES = ("wav2vec2", "hubert", "wavlm")
"""Families whose features are proven, by a test, not to depend on what else is in the batch."""


def like_sized(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places of chunks that go through a network together, largest first: padded, at most `budget` rows a batch."""
    batch: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if batch and (len(batch) + 1) * sizes[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class SpeechNetwork(nn.Module):
    """Samples of several utterances -> the rows of each.

    The convolutions run over one utterance at a time: their group norm takes its statistics over all frames it is
    given, so a padded batch would change them, and they gain nothing from one. Their output is padded and goes through
    the transformer together, masked.

    network: what transformers' AutoModel gives; it is taken apart here.
    """

    def __init__(self, network: Any, layers: LayerChoice):
        super().__init__()
        config = network.config
        _require_known_parts(config)
        self.layers = layers
        self.stride = math.prod(config.conv_stride)
        self.field = _receptive_field(config.conv_kernel, config.conv_stride)
        first, *rest = network.feature_extractor.conv_layers
        # The first one reads a single channel: bfloat16 makes it twice as slow on a CPU, and less exact.
        self.first, self.rest = first.float(), nn.Sequential(*rest)
        network.feature_extractor = nn.Identity()  # the network is handed what the convolutions gave
        self.network = network

    def front_end(self) -> list[nn.Parameter]:
        """The weights of the convolutions."""
        return [*self.first.parameters(), *self.rest.parameters()]

    def chunks(self, samples: int, longest: int) -> list[tuple[int, int, int, slice]]:
        """(first sample, behind the last, rows, which of them count) of chunks of at most `longest` samples."""
        total = (samples - self.field) // self.stride + 1
        rows = max((longest - self.field) // self.stride + 1, 1)
        # The last chunk has all the samples that are left: they make no row, but count in the group norm.
        ends = {total: samples}
        return [
            (
                first * self.stride,
                ends.get(last, (last - 1) * self.stride + self.field),
                last - first,
                keep,
            )
            for first, last, keep in spans(total, rows, rows // 4)
        ]

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Normalised samples (N,) of each utterance, N at least `field` -> rows (T, D) of each."""
        convolved = [self._convolved(samples) for samples in inputs]  # (C, T) each
        lengths = [frames.shape[-1] for frames in convolved]
        longest = max(lengths)
        batch = torch.stack(
            [pad(frames, (0, longest - frames.shape[-1])) for frames in convolved]
        )  # (B, C, T)
        output = self.network(
            batch, attention_mask=_mask(inputs, lengths), output_hidden_states=self.layers.needs_all
        )
        rows = self.layers.rows(output)  # (B, T, D)
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    def _convolved(self, samples: Tensor) -> Tensor:
        with torch.autocast(samples.device.type, enabled=False):
            convolved = self.first(samples[None, None])  # (1, C, T')
        frames: Tensor = self.rest(convolved)[0]
        return frames


def _mask(inputs: Sequence[Tensor], lengths: Sequence[int]) -> Tensor | None:
    """What transformers wants: (B, N) of samples, from which it counts the frames."""
    if len(set(lengths)) == 1:
        return None
    counts = torch.tensor([len(samples) for samples in inputs], device=inputs[0].device)
    return (torch.arange(int(counts.max()), device=counts.device) < counts[:, None]).long()


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    field, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * step
        step *= stride
    return field


def _require_known_parts(config: Any) -> None:
    if getattr(config, "add_adapter", False) or getattr(config, "conv_pos_batch_norm", False):
        part = "an adapter" if getattr(config, "add_adapter", False) else "a batch norm over positions"
        raise UserError(
            f"encoders.wav2vec2.model: this model has {part}, which cmarr does not run; take another one"
        )


TEXT_FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra")
"""Families that attend in both directions, and to nothing that is padded."""

OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert")
"""Families that count positions from behind the padding token's number."""


@dataclass(frozen=True)
class Framing:
    """How a text's word pieces stand in an input.

    before, after: numbers of the special tokens around a text
    limit:         longest input, special tokens included
    padding:       number of the piece that fills up a shorter one
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    limit: int
    padding: int

    def chunks(self, pieces: int) -> list[tuple[int, int, slice]]:
        """(first piece, behind the last, which rows of the framed chunk count) for a text of so many pieces.

        The special tokens' rows count once: in front of the text, and behind it.
        """
        before, after = len(self.before), len(self.after)
        room = self.limit - before - after
        found = spans(pieces, room, room // 4)
        cut = []
        for number, (first, last, keep) in enumerate(found):
            begin = 0 if number == 0 else before + keep.start
            whole = before + last - first + after
            end = whole if number == len(found) - 1 else before + keep.stop
            cut.append((first, last, slice(begin, end)))
        return cut


def framing(config: Any, tokenizer: Any) -> Framing:
    """The framing of a pretrained network and its tokenizer. Raises UserError where there is none."""
    before, after = _special_tokens(tokenizer)
    positions = int(config.max_position_embeddings)
    if config.model_type in OFFSET_POSITIONS:
        positions -= int(config.pad_token_id) + 1
    limit = min(positions, int(tokenizer.model_max_length))
    return Framing(before, after, limit, tokenizer.pad_token_id or 0)


class TextNetwork(nn.Module):
    """Word pieces of several texts -> the rows of each: padded, masked, through the network together."""

    def __init__(self, network: Any, layers: LayerChoice, padding: int):
        super().__init__()
        self.layers, self.padding = layers, padding
        self.network = network

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Numbers of word pieces (T,) int64 of each text, special tokens included -> rows (T, D) of each."""
        lengths = [len(ids) for ids in inputs]
        ids = nn.utils.rnn.pad_sequence(list(inputs), batch_first=True, padding_value=self.padding)  # (B, T)
        counts = torch.tensor(lengths, device=ids.device)
        mask = (torch.arange(ids.shape[1], device=ids.device) < counts[:, None]).long()
        output = self.network(input_ids=ids, attention_mask=mask, output_hidden_states=self.layers.needs_all)
        rows = self.layers.rows(output)  # (B, T, D)
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a tokenizer puts before and after a text."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for first in range(len(whole) - len(inner) + 1):
        if whole[first : first + len(inner)] == inner:
            return tuple(whole[:first]), tuple(whole[first + len(inner) :])
    raise UserError(
        "encoders.bert.model: its tokenizer changes words by adding special tokens; take another model"
    )


FRAME = 320
"""Samples a frame: 20 ms at 16 kHz."""

FRAMES_A_SECOND = 50

FULL_SCALE = 32768
"""Of 16-bit sound."""

NOTHING = -FULL_SCALE
"""Fills the last frame behind the last sample. No sample has this value."""


def to_frames(samples: np.ndarray) -> np.ndarray:
    """Samples (N,) in [-1, 1] -> frames (ceil(N / 320), 320) int16, as a 16-bit recording holds them."""
    whole = np.clip(np.rint(samples * FULL_SCALE), 1 - FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    frames = np.full((-(-len(whole) // FRAME), FRAME), NOTHING, np.int16)
    frames.reshape(-1)[: len(whole)] = whole
    return frames


def to_samples(frames: Tensor) -> Tensor:
    """The inverse: frames (T, 320), in whatever dtype -> samples (N,) float32."""
    flat = frames.float().flatten()
    return flat[: len(flat) - int((frames[-1] == NOTHING).sum())] / FULL_SCALE
