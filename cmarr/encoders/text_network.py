"""Word pieces through BERT and its kin, so that a row depends on its own text alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cmarr.encoders.hidden_layers import LayerChoice
from cmarr.encoders.stretches import spans
from cmarr.errors import UserError

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

    def stretches(self, pieces: int) -> list[tuple[int, int, slice]]:
        """(first piece, behind the last, which rows of the framed stretch count) for a text of so many pieces.

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
