"""Text without weights: each token as hashed word and character n-grams."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from cmarr.declaration import Count, Section, setting
from cmarr.encoders.protocol import EMPTY_TEXT, STAGE, libraries
from cmarr.utterance import FeatureSequence, Rejected, Utterance, readable

TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
"""A word, with its inner apostrophes, or one punctuation mark."""
SHORTEST, LONGEST = 2, 4
"""Letters of the n-grams."""


class Hashing:
    """One row a token: its word and its character n-grams, hashed with signs into `dim` columns.

    The feature hashing of Weinberger et al. 2009 over the subwords of Bojanowski et al. 2017. The word
    weighs as much as all its n-grams together, so that spelling variants are near and homographs of
    parts are not. Rows have unit length. `times` are token positions 0, 1, 2, ... and not seconds: a
    transcript does not say when its words are spoken.
    """

    class Settings(Section):
        """words and the 2- to 4-letter pieces of words, hashed; one vector a word"""

        dim: Count = setting(256, "width of a feature vector, >= 1")

    modality = "t"

    def __init__(self, settings: Settings):
        self.dim = settings.dim

    @cached_property
    def hasher(self) -> Any:
        """scikit-learn's, loaded when the first text comes: that takes longer than to answer a clip."""
        from sklearn.feature_extraction import FeatureHasher

        return FeatureHasher(n_features=self.dim, input_type="dict")

    def describe(self) -> dict[str, str]:
        """Name, revision and parameters."""
        return {
            "encoder": "hashing",
            "revision": "1",
            "libraries": libraries("scikit-learn"),
            "parameters": f"dim={self.dim} ngrams={SHORTEST}-{LONGEST}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (number of tokens, dim); a blank transcript is rejected as such."""
        for utterance in utterances:
            tokens = TOKEN.findall(readable(utterance.text or "").lower())
            if not tokens:
                yield Rejected(utterance.id, "t", STAGE, EMPTY_TEXT)
                continue
            rows = self.hasher.transform(self._parts(token) for token in tokens).toarray()  # (T, dim)
            length = np.linalg.norm(rows, axis=1, keepdims=True)
            frames = (rows / np.where(length, length, 1.0)).astype(np.float32)
            yield FeatureSequence(utterance.id, frames, np.arange(len(tokens), dtype=np.float32))

    def _parts(self, token: str) -> dict[str, float]:
        marked = f"<{token}>"
        lengths = range(SHORTEST, LONGEST + 1)
        grams = [marked[i : i + n] for n in lengths for i in range(len(marked) - n + 1)]
        parts = dict.fromkeys(grams, 1 / math.sqrt(len(grams)) if grams else 0.0)
        return {f"g {gram}": weight for gram, weight in parts.items()} | {f"w {token}": 1.0}


ENCODER = Hashing
