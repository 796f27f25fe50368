"""Text as word pieces: the input of a text network that is trained with the method."""

from collections.abc import Iterator, Sequence

import numpy as np

from cmarr.corpora.manifest import Rejected, Utterance
from cmarr.encoders.bert import MODEL, REVISION, word_pieces
from cmarr.encoders.checkpoints import libraries, load_checkpoint
from cmarr.encoders.protocol import EMPTY_TEXT, STAGE
from cmarr.encoders.text_network import TEXT_FAMILIES, framing
from cmarr.features.shards import FeatureSequence


class WordPieces:
    """One row a word piece, its number: (T, 1) whole numbers, without special tokens.

    `model` and `revision` name the network that will read them, whose tokenizer cuts the text.
    """

    modality = "t"
    dim = 1

    def __init__(self, model: str = MODEL, revision: str = REVISION):
        self.checkpoint = load_checkpoint(
            "bert", model, revision, families=TEXT_FAMILIES, preparation="tokenizer"
        )
        framing(
            self.checkpoint.config, self.checkpoint.preparation
        )  # refuses a tokenizer it cannot frame with

    def describe(self) -> dict[str, str]:
        """Name, the model they are for, its revision, and the library."""
        return {
            "encoder": "word_pieces",
            "model": self.checkpoint.name,
            "revision": self.checkpoint.revision,
            "libraries": libraries("transformers", "tokenizers"),
            "parameters": "special tokens: none",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance; `times` are positions. A blank transcript is rejected as such."""
        for utterance in utterances:
            ids = word_pieces(self.checkpoint.preparation, utterance.text or "")
            if ids:
                frames = np.array(ids, dtype=np.int32)[:, None]
                yield FeatureSequence(utterance.id, frames, np.arange(len(ids), dtype=np.float32))
            else:
                yield Rejected(utterance.id, "t", STAGE, EMPTY_TEXT)
