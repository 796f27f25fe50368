"""Utterances to clips, and what the workers answer to feature sequences."""

from collections.abc import Callable, Iterator, Sequence

from cmarr.encoders.protocol import STAGE
from cmarr.media.clips import Clip, Failure, by_file
from cmarr.media.workers import Function, decode
from cmarr.sequence import FeatureSequence
from cmarr.utterance import Rejected, Utterance


def clip_of(utterance: Utterance, modality: str) -> Clip:
    """The part of the audio ('s') or video ('v') file that an utterance occupies."""
    path = utterance.audio if modality == "s" else utterance.video
    if path is None:
        raise ValueError(f"utterance {utterance.id} has no modality {modality!r}")
    crop = utterance.crop if modality == "v" else None
    return Clip(path, *utterance.span(modality), crop, utterance.damage)


def clip_answers(
    utterances: Sequence[Utterance],
    modality: str,
    factory: Callable[[], Function],
    workers: int,
    seconds: float,
) -> Iterator[FeatureSequence | Rejected]:
    """Answers of worker processes that give (frames, times) for each clip, one an utterance, in order."""
    groups = by_file(clip_of(utterance, modality) for utterance in utterances)
    answers = decode(factory, groups, workers, seconds)
    for utterance, answer in zip(utterances, answers, strict=True):
        if isinstance(answer, Failure):
            yield Rejected(utterance.id, modality, STAGE, answer.reason)
        else:
            yield FeatureSequence(utterance.id, *answer)
