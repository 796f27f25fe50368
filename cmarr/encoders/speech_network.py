"""Samples through wav2vec 2.0 and its kin, so that a row depends on its own utterance alone."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cmarr.encoders.hidden_layers import LayerChoice
from cmarr.encoders.stretches import spans
from cmarr.errors import UserError

SPEECH_FAMILIES = ("wav2vec2", "hubert", "wavlm")
"""Families whose features are proven, by a test, not to depend on what else is in the batch."""


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

    def stretches(self, samples: int, longest: int) -> list[tuple[int, int, int, slice]]:
        """(first sample, behind the last, rows, which of them count) of stretches of at most `longest` samples."""
        total = (samples - self.field) // self.stride + 1
        rows = max((longest - self.field) // self.stride + 1, 1)
        # The last stretch has all the samples that are left: they make no row, but count in the group norm.
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
        heard = [self._convolved(samples) for samples in inputs]  # (C, T) each
        lengths = [frames.shape[-1] for frames in heard]
        longest = max(lengths)
        batch = torch.stack([pad(frames, (0, longest - frames.shape[-1])) for frames in heard])  # (B, C, T)
        output = self.network(
            batch, attention_mask=_mask(inputs, lengths), output_hidden_states=self.layers.needs_all
        )
        rows = self.layers.rows(output)  # (B, T, D)
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    def _convolved(self, samples: Tensor) -> Tensor:
        with torch.autocast(samples.device.type, enabled=False):
            heard = self.first(samples[None, None])  # (1, C, T')
        return self.rest(heard)[0]


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
