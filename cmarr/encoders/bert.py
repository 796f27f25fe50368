"""Text through BERT (Devlin et al. 2019), RoBERTa and their like, as transformers has them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from cmarr.encoders.batches import Chunk, Prepared, Ready, in_batches
from cmarr.encoders.networks import TEXT_FAMILIES, LayerChoice, Layers, TextNetwork, framing
from cmarr.encoders.pretrained import Arithmetic, Checkpoint, Precision, libraries, load_checkpoint
from cmarr.encoders.protocol import EMPTY_TEXT, STAGE
from cmarr.sequence import FeatureSequence
from cmarr.utterance import Rejected, Utterance

MODEL, REVISION = "bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"


class Bert:
    """One row a word piece, [CLS] and [SEP] included, (T, D); `times` are positions 0, 1, 2, ... and not seconds.

    The special tokens stay, as in MMSA's feature files: [CLS] is what BERT was trained to sum a sentence up in.
    `model` is an id on the hub, at `revision`, or a folder; `layers` 'last', 'all' or numbers to average. A text with
    more word pieces than the model can take is read in equal chunks that overlap by a quarter, each framed by the
    special tokens, each row taken from the chunk in which it lies further from an end.

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
        checkpoint = load_checkpoint("bert", model, revision, families=TEXT_FAMILIES, preparation="tokenizer")
        self.checkpoint = checkpoint
        self.layers = LayerChoice("bert", layers, checkpoint.config)
        self.arithmetic = Arithmetic(device, precision)
        self.network = TextRows(checkpoint, self.layers, self.arithmetic)
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
        """The text as numbers of word pieces, in chunks that the model can take."""
        ids = self.network.pieces(utterance.text or "")
        if not ids:
            return Rejected(utterance.id, "t", STAGE, EMPTY_TEXT)
        framing = self.network.framing
        chunks = []
        for first, last, keep in framing.chunks(len(ids)):
            framed = np.array([*framing.before, *ids[first:last], *framing.after], dtype=np.int64)
            chunks.append(Chunk(framed, len(framed), keep))
        total = sum(chunk.keep.stop - chunk.keep.start for chunk in chunks)
        return Prepared(utterance.id, chunks, np.arange(total, dtype=np.float32))


class TextRows:
    """Word pieces of several texts -> the rows of each, as NumPy arrays and without gradients."""

    def __init__(self, checkpoint: Checkpoint, layers: LayerChoice, arithmetic: Arithmetic):
        self.tokenizer, self.arithmetic = checkpoint.preparation, arithmetic
        self.framing = framing(checkpoint.config, self.tokenizer)
        self.module = TextNetwork(arithmetic.place(checkpoint.network), layers, self.framing.padding)

    def pieces(self, text: str) -> list[int]:
        """Numbers of the word pieces of a text, without special tokens."""
        return word_pieces(self.tokenizer, text)

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Numbers of word pieces (T,) of each text, special tokens included -> rows (T, D) float32 of each."""
        with self.arithmetic():
            rows = self.module([torch.from_numpy(ids).to(self.arithmetic.device) for ids in inputs])
            return [row.float().cpu().numpy() for row in rows]


def word_pieces(tokenizer: Any, text: str) -> list[int]:
    """Numbers of the word pieces of a text, without special tokens."""
    options = {"add_special_tokens": False, "truncation": False, "verbose": False}
    ids: list[int] = tokenizer(readable(text), **options)["input_ids"]
    return ids


def readable(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which no tokenizer takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


ENCODER = Bert
