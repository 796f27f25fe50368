"""Text without pretrained weights: how often each term occurs; training texts alone decide what that is worth."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from cmarr.declaration import Count, Section, setting
from cmarr.encoders.hashing import TOKEN
from cmarr.encoders.protocol import EMPTY_TEXT, STAGE, libraries
from cmarr.utterance import FeatureSequence, Rejected, Utterance, readable

PIECES = (3, 4, 5)
"""Letters of the pieces of words that are counted, the marks of a word's ends among them."""


class TfIdf:
    """One row a text (1, terms): 1 + log of how often each term occurs in it, 0 where it does not.

    Terms are words, pairs of neighbouring words, and pieces of words, hashed into `terms` columns. A row depends on its
    own text alone. What depends on other texts, how much a term tells and along which `directions` texts differ, is
    fitted in training, on the training utterances of a fold (`cmarr.data.terms`); a method reads `directions` numbers.
    """

    class Settings(Section):
        """words, their pairs and pieces, counted; what they weigh is fitted on the training texts; one row a text"""

        terms: Count = setting(4096, "columns that terms are hashed into, >= 1")
        directions: Count = setting(
            256,
            "numbers a text that a method reads: the directions in which training texts differ most, >= 1",
        )

    modality = "t"

    def __init__(self, settings: Settings):
        self.dim, self.directions = settings.terms, settings.directions

    @cached_property
    def hasher(self) -> Any:
        """scikit-learn's, loaded when the first text comes."""
        from sklearn.feature_extraction import FeatureHasher

        return FeatureHasher(n_features=self.dim, input_type="dict", alternate_sign=False)

    def describe(self) -> dict[str, str]:
        """Name, revision and parameters; `directions` tells the training that the rows are counts of terms."""
        return {
            "encoder": "tfidf",
            "revision": "1",
            "libraries": libraries("scikit-learn"),
            "parameters": f"terms={self.dim} pieces={PIECES[0]}-{PIECES[-1]}",
            "directions": str(self.directions),
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One row an utterance: (1, terms); a blank transcript is rejected as such."""
        for utterance in utterances:
            counted = terms(utterance.text or "")
            if not counted:
                yield Rejected(utterance.id, "t", STAGE, EMPTY_TEXT)
                continue
            counts = self.hasher.transform([counted]).toarray()  # (1, terms)
            rows = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0).astype(np.float32)
            yield FeatureSequence(utterance.id, rows, np.zeros(1, np.float32))


def terms(text: str) -> Counter[str]:
    """How often each word, each pair of neighbours and each piece of a word occurs in a text.

    >>> terms("so so").most_common(3)
    [('word so', 2), ('piece <so', 2), ('piece so>', 2)]
    """
    words = TOKEN.findall(readable(text).lower())
    found = Counter(f"word {word}" for word in words)
    found.update(f"pair {left} {right}" for left, right in pairwise(words))
    for word in words:
        marked = f"<{word}>"
        found.update(f"piece {marked[i : i + n]}" for n in PIECES for i in range(len(marked) - n + 1))
    return found


ENCODER = TfIdf
