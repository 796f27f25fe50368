"""What extraction knows of an encoder: this protocol and nothing else."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Protocol, runtime_checkable

from cmarr.utterance import FeatureSequence, Rejected, Utterance

STAGE = "extract"
"""The stage an encoder writes into what it rejects."""

NO_FACE = "no face found"
"""Begins the reason of a video that can be read but shows no face: the modality is not available."""

EMPTY_TEXT = "the transcript is blank"
"""The reason of a transcript without a single token: the modality is not available."""


NOTHING = "nothing there"
"""Begins the reason of features that came with a corpus and mark, by zeros or a sentinel, that there are none."""


def is_absence(rejected: Rejected) -> bool:
    """True when the input could be read, and merely holds nothing of this modality."""
    return rejected.reason == EMPTY_TEXT or rejected.reason.startswith((NO_FACE, NOTHING))


def answered(id: str, modality: str, found: FeatureSequence | str) -> FeatureSequence | Rejected:
    """The features of an utterance, or its rejection where a reason stands in their place."""
    return Rejected(id, modality, STAGE, found) if isinstance(found, str) else found


def libraries(*names: str) -> str:
    """'torch 2.11.0 transformers 5.23.0 ...': the versions that a shard's metadata names."""
    return " ".join(f"{name} {version(name)}" for name in names)


@runtime_checkable
class Encoder(Protocol):
    """One modality of an utterance -> a feature sequence.

    It is built of its own `Settings` and of keywords that say what the machine allows, of which it takes what it uses:
    `workers` processes that decode and threads that compute, `seconds` to decode one utterance, the `device`, and a
    `window` of utterances that are sorted by length at a time.

    The features of an utterance depend on nothing but the utterance and the settings: not on its
    neighbours, the number of workers or the order.

    An encoder of media has, besides, `reader`: the factory of what runs in its worker processes
    (`cmarr.media.worker_pool.decode`), by which a program that encodes clip after clip keeps them running.
    Its `workers` and `seconds` may be changed between two calls.
    One whose network is trained with the method has `exported(file)`: the settings with which it needs no network, all
    else that it needs being written into the file, which goes along with an exported model.
    """

    modality: str
    """'s', 'v' or 't'."""
    dim: int
    """Width D of a feature vector."""

    def describe(self) -> dict[str, str]:
        """Name, revision, libraries and parameters: all that decides the features.

        It goes into the metadata of the shards; a shard made with another description is made again.
        Settings that change the speed only (workers, batch size) stay out.
        """
        ...

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One result an utterance, in order, as it becomes ready: (T, D) float32 frames or a reason.

        Every utterance given has a path or a text in this modality. Times are seconds from the
        utterance's start. Results are drawn one by one: an encoder may look ahead to batch or to decode a
        file once for all its utterances, but holds no more than a bounded number at a time.
        """
        ...
