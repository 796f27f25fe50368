"""Text as word pieces: the input of a text network that is trained with the method."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.declaration import Place, Section, setting
from cmarr.encoders.bert import MODEL, REVISION, word_pieces
from cmarr.encoders.networks import TEXT_FAMILIES, framing
from cmarr.encoders.pretrained import load_checkpoint
from cmarr.encoders.protocol import EMPTY_TEXT, STAGE, libraries
from cmarr.errors import UserError, first_line
from cmarr.extras import extra
from cmarr.files import file_digest, write_text
from cmarr.utterance import FeatureSequence, Rejected, Utterance, readable


class WordPieces:
    """One row a word piece, its number: (T, 1) whole numbers, without special tokens.

    The tokenizer of the network that will read them cuts the text.
    """

    class Settings(Section):
        """what a text network that is trained with the method reads"""

        model: Place = setting(MODEL, "the network, as in bert")
        revision: str = setting(REVISION, "as in bert")
        tokenizer: str = setting("", "file that `save_tokenizer` wrote; with one, nothing else is looked for")

    modality, input_of = "t", "bert"
    dim = 1

    def __init__(self, settings: Settings):
        model, revision, tokenizer = settings.model, settings.revision, settings.tokenizer
        if tokenizer:
            self.model, self.revision, self.cut = model, revision, _saved(tokenizer)
            return
        checkpoint = load_checkpoint("bert", model, revision, families=TEXT_FAMILIES, preparation="tokenizer")
        framing(checkpoint.config, checkpoint.preparation)  # refuses a tokenizer it cannot frame with
        self.model, self.revision = checkpoint.name, checkpoint.revision
        self.preparation = checkpoint.preparation
        self.cut = partial(word_pieces, checkpoint.preparation)

    def describe(self) -> dict[str, str]:
        """Name, the model they are for, its revision, and the library."""
        return {
            "encoder": "word_pieces",
            "model": self.model,
            "revision": self.revision,
            "libraries": libraries("transformers", "tokenizers"),
            "parameters": "special tokens: none",
        }

    def exported(self, tokenizer: Path) -> dict[str, Any]:
        """Settings that find all they need in an exported model, which this file is part of. Raises UserError."""
        self.save_tokenizer(tokenizer)
        return {"model": self.model, "revision": self.revision, "tokenizer": file_digest(tokenizer)}

    def save_tokenizer(self, path: str | Path) -> None:
        """Write all that cutting a text takes: JSON, which nothing can run from. Raises UserError."""
        inner = getattr(self.preparation, "backend_tokenizer", None)
        if inner is None:
            raise UserError(
                f"encoders.bert.model: the tokenizer of {self.model} is none of the library tokenizers, and cannot be "
                "put into a file; take another model"
            )
        copy = type(inner).from_str(inner.to_str())
        copy.no_truncation()
        copy.no_padding()
        write_text(path, copy.to_str())

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance; `times` are positions. A blank transcript is rejected as such."""
        for utterance in utterances:
            ids = self.cut(utterance.text or "")
            if ids:
                frames = np.array(ids, dtype=np.int32)[:, None]
                yield FeatureSequence(utterance.id, frames, np.arange(len(ids), dtype=np.float32))
            else:
                yield Rejected(utterance.id, "t", STAGE, EMPTY_TEXT)


def _saved(path: str) -> Callable[[str], list[int]]:
    with extra("encoders"):
        from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing more special
        raise UserError(
            f"{path}: is no tokenizer, or is damaged ({first_line(error)}); export the model again"
        ) from None
    return lambda text: tokenizer.encode(readable(text), add_special_tokens=False).ids


ENCODER = WordPieces
