"""Text through BERT (Devlin et al. 2019), RoBERTa and their like, as transformers has them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from cmarr.corpora.manifest import Rejected, Utterance
from cmarr.encoders.batches import Piece, Prepared, Ready, in_batches, spans
from cmarr.encoders.checkpoints import Checkpoint, libraries, load_checkpoint
from cmarr.encoders.hidden_layers import LayerChoice, Layers
from cmarr.encoders.precision import Arithmetic, Precision
from cmarr.encoders.protocol import EMPTY_TEXT, STAGE
from cmarr.errors import UserError
from cmarr.features.shards import FeatureSequence

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra")
"""Families that attend in both directions, and to nothing that is padded."""

OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert")
"""Families that count positions from behind the padding token's number."""

MODEL, REVISION = "bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"


class Bert:
    """One row a word piece, [CLS] and [SEP] included, (T, D); `times` are positions 0, 1, 2, ... and not seconds.

    The special tokens stay, as in MMSA's feature files: [CLS] is what BERT was trained to sum a sentence up in.
    `model` is an id on the hub, at `revision`, or a folder; `layers` 'last', 'all' or numbers to average. A text with
    more word pieces than the model can take is read in equal stretches that overlap by a quarter, each framed by the
    special tokens, each row taken from the stretch in which it lies further from an end.

    In float32 a row differs by less than 1e-5 from what transformers gives for the text alone. `batch_pieces`
    bounds the word pieces that go through the network at once, `workers` the threads that compute, `window` how many
    texts are sorted by length at a time.
    """

    modality = "t"

    def __init__(
        self,
        model: str = MODEL,
        revision: str = REVISION,
        layers: Layers = "last",
        precision: Precision = "fp32",
        batch_pieces: int = 512,
        device: str = "auto",
        workers: int = 2,
        window: int = 64,
    ):
        checkpoint = load_checkpoint("bert", model, revision, families=FAMILIES, preparation="tokenizer")
        self.checkpoint = checkpoint
        self.layers = LayerChoice("bert", layers, checkpoint.config)
        self.arithmetic = Arithmetic(device, precision)
        self.network = TextNetwork(checkpoint, self.layers, self.arithmetic)
        self.batch_pieces, self.workers, self.window = batch_pieces, workers, window
        self.dim = self.layers.width

    def describe(self) -> dict[str, str]:
        """Name, model, revision, libraries and parameters."""
        return {
            "encoder": "bert",
            "model": self.checkpoint.name,
            "revision": self.checkpoint.revision,
            "libraries": libraries("torch", "transformers", "tokenizers"),
            "parameters": f"layers={self.layers} precision={self.arithmetic.precision}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (word pieces + special tokens, dim); a blank transcript is rejected as such."""
        return in_batches(
            map(self.prepared, utterances),
            self.network,
            window=self.window,
            budget=self.batch_pieces,
            threads=self.arithmetic.threads(self.workers),
        )

    def prepared(self, utterance: Utterance) -> Ready:
        """The text as numbers of word pieces, in stretches that the model can take."""
        ids = self.network.pieces(utterance.text or "")
        if not ids:
            return Rejected(utterance.id, "t", STAGE, EMPTY_TEXT)
        before, after = self.network.before, self.network.after
        room = self.network.limit - len(before) - len(after)
        stretches = spans(len(ids), room, room // 4)
        pieces = []
        for number, (first, last, keep) in enumerate(stretches):
            framed = np.array([*before, *ids[first:last], *after], dtype=np.int64)
            # The special tokens' rows are kept once: in front of the text, and behind it.
            begin = 0 if number == 0 else len(before) + keep.start
            end = len(framed) if number == len(stretches) - 1 else len(before) + keep.stop
            pieces.append(Piece(framed, len(framed), slice(begin, end)))
        total = sum(piece.keep.stop - piece.keep.start for piece in pieces)
        return Prepared(utterance.id, pieces, np.arange(total, dtype=np.float32))


class TextNetwork:
    """Word pieces of several texts -> the rows of each: padded, masked, through the network together."""

    def __init__(self, checkpoint: Checkpoint, layers: LayerChoice, arithmetic: Arithmetic):
        self.tokenizer = checkpoint.preparation
        self.before, self.after = _special_tokens(self.tokenizer)
        self.limit = _limit(checkpoint.config, self.tokenizer)
        self.padding = self.tokenizer.pad_token_id or 0
        self.layers, self.arithmetic = layers, arithmetic
        self.network = arithmetic.place(checkpoint.network)

    def pieces(self, text: str) -> list[int]:
        """Numbers of the word pieces of a text, without special tokens; halves of surrogate pairs become U+FFFD."""
        readable = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self.tokenizer(readable, add_special_tokens=False, truncation=False, verbose=False)[
            "input_ids"
        ]

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Numbers of word pieces (T,) of each text, special tokens included -> rows (T, D) float32 of each."""
        lengths = [len(ids) for ids in inputs]
        shape = len(inputs), max(lengths)
        ids = torch.full(shape, self.padding, dtype=torch.long)  # (B, T)
        mask = torch.zeros(shape, dtype=torch.long)
        for row, given in enumerate(inputs):
            ids[row, : len(given)] = torch.from_numpy(given)
            mask[row, : len(given)] = 1
        device = self.arithmetic.device
        with self.arithmetic():
            output = self.network(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                output_hidden_states=self.layers.needs_all,
            )
            rows = self.layers.rows(output).float().cpu().numpy()  # (B, T, D)
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for first in range(len(whole) - len(inner) + 1):
        if whole[first : first + len(inner)] == inner:
            return whole[:first], whole[first + len(inner) :]
    raise UserError(
        "encoders.bert.model: its tokenizer changes words by adding special tokens; take another model"
    )


def _limit(config: Any, tokenizer: Any) -> int:
    """Longest input, special tokens included."""
    positions = int(config.max_position_embeddings)
    if config.model_type in OFFSET_POSITIONS:
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))
