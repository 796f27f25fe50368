"""Text through BERT (Devlin et al. 2019), RoBERTa and their like, as transformers has them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from cmarr.declaration import Count, Place, Section, setting
from cmarr.encoders.batches import Chunk, Prepared, Ready, in_batches
from cmarr.encoders.networks import LAYERS, TEXT_FAMILIES, ChosenLayers, LayerChoice, TextNetwork, framing
from cmarr.encoders.pretrained import PRECISION, Arithmetic, Checkpoint, Precision, load_checkpoint
from cmarr.encoders.protocol import EMPTY_TEXT, STAGE, libraries
from cmarr.utterance import FeatureSequence, Rejected, Utterance, readable

MODEL, REVISION = "bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"


class Bert:
    """One row a word piece, [CLS] and [SEP] included, (T, D); `times` are positions 0, 1, 2, ... and not seconds.

    The special tokens stay, as in MMSA's feature files: [CLS] is what BERT was trained to sum a sentence up in.
    A text with more word pieces than the model can take is read in equal chunks that overlap by a quarter, each framed
    by the special tokens, each row taken from the chunk in which it lies further from an end.

    In float32 a row differs by less than 1e-5 from what transformers gives for the text alone.
    """

    class Settings(Section):
        """a pretrained network: BERT, RoBERTa or their like; a row a word piece, [CLS] and [SEP] included"""

        model: Place = setting(
            MODEL, "an id on the model hub, fetched on first use, or a folder that holds the model"
        )
        revision: str = setting(
            REVISION, "commit of that id (another model has other ones); folders have none"
        )
        layers: ChosenLayers = setting("last", LAYERS)
        precision: Precision = setting("fp32", PRECISION)
        batch_pieces: Count = setting(
            512,
            "word pieces that go through the network at once, >= 1; changes memory and speed, rows by < 1e-5",
        )

    modality, trainable_input = "t", "word_pieces"

    def __init__(
        self,
        settings: Settings,
        *,
        device: str = "auto",
        workers: int = 2,
        window: int = 64,
    ):
        checkpoint = load_checkpoint(
            "bert", settings.model, settings.revision, families=TEXT_FAMILIES, preparation="tokenizer"
        )
        self.checkpoint = checkpoint
        self.layers = LayerChoice("bert", settings.layers, checkpoint.config)
        self.arithmetic = Arithmetic(device, settings.precision)
        self.network = TextRows(checkpoint, self.layers, self.arithmetic)
        self.batch_pieces, self.workers, self.window = settings.batch_pieces, workers, window
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
        return self.network.encode(
            utterances, window=self.window, budget=self.batch_pieces, workers=self.workers
        )


class TextRows:
    """Word pieces of several texts -> the rows of each, as NumPy arrays and without gradients."""

    def __init__(self, checkpoint: Checkpoint, layers: LayerChoice, arithmetic: Arithmetic):
        self.tokenizer, self.arithmetic = checkpoint.preparation, arithmetic
        self.framing = framing(checkpoint.config, self.tokenizer)
        self.module = TextNetwork(arithmetic.place(checkpoint.network), layers, self.framing.padding)

    def encode(
        self, utterances: Sequence[Utterance], *, window: int, budget: int, workers: int
    ) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (word pieces + special tokens, D); a blank transcript is rejected as such."""
        prepared = map(self.prepared, utterances)
        threads = self.arithmetic.threads(workers)
        return in_batches(prepared, self, window=window, budget=budget, threads=threads)

    def prepared(self, utterance: Utterance) -> Ready:
        """The text as numbers of word pieces, in chunks that the model can take."""
        ids = word_pieces(self.tokenizer, utterance.text or "")
        if not ids:
            return Rejected(utterance.id, "t", STAGE, EMPTY_TEXT)
        chunks = []
        for first, last, keep in self.framing.chunks(len(ids)):
            framed = np.array([*self.framing.before, *ids[first:last], *self.framing.after], dtype=np.int64)
            chunks.append(Chunk(framed, len(framed), keep))
        total = sum(chunk.keep.stop - chunk.keep.start for chunk in chunks)
        return Prepared(utterance.id, chunks, np.arange(total, dtype=np.float32))

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


ENCODER = Bert
