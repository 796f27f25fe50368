"""Utterances through the worker processes that decode media."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cmarr.encoders.protocol import STAGE
from cmarr.media.clips import Failure, by_file, clip_of
from cmarr.media.worker_pool import Function, decode
from cmarr.utterance import FeatureSequence, Rejected, Utterance


def decoded(
    utterances: Sequence[Utterance],
    modality: str,
    factory: Callable[[], Function],
    workers: int,
    seconds: float,
    note: Callable[[str, Any], None] = lambda id, result: None,
) -> Iterator[tuple[Utterance, Any]]:
    """Each utterance with what the workers made of its clip in a modality ('s', 'v'), or its Rejected, in order.

    factory, workers and seconds are those of `cmarr.media.worker_pool.decode`; `note` is told each utterance's id and
    what it gave.
    """
    groups = by_file(clip_of(utterance, modality) for utterance in utterances)
    results = decode(factory, groups, workers, seconds)
    for utterance, result in zip(utterances, results, strict=True):
        note(utterance.id, result)
        failed = isinstance(result, Failure)
        yield utterance, Rejected(utterance.id, modality, STAGE, result.reason) if failed else result


def clip_features(
    utterances: Sequence[Utterance],
    modality: str,
    factory: Callable[[], Function],
    workers: int,
    seconds: float,
) -> Iterator[FeatureSequence | Rejected]:
    """The features of workers that give (frames, times) for each clip, and notes if there are some; in order."""
    for utterance, result in decoded(utterances, modality, factory, workers, seconds):
        yield result if isinstance(result, Rejected) else FeatureSequence(utterance.id, *result)
