"""An utterance with one modality damaged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cmarr.damage.kinds import KINDS
from cmarr.damage.noise import Babble, WhiteNoise, choose_talkers
from cmarr.damage.picture import Blur, Dark, Occlusion
from cmarr.damage.word_errors import with_word_errors
from cmarr.encoders.answers import clip_of
from cmarr.utterance import Utterance


def damaged(
    utterance: Utterance,
    kind: str,
    level: float,
    *,
    seed: int,
    words: Sequence[str] = (),
    talkers: Mapping[str, Utterance] | None = None,
) -> Utterance:
    """The utterance with one modality damaged; one that does not have it comes back as it is.

    words:   for `word_errors`, a `word_errors.vocabulary`
    talkers: for `noise` as babble, every utterance that has sound by its id; None: white noise
    """
    modality, id = KINDS[kind].modality, utterance.id
    if utterance.source(modality) is None:
        return utterance
    if kind == "word_errors":
        return replace(utterance, text=with_word_errors(utterance.text or "", level, words, seed, id))
    if kind == "noise" and talkers is not None:
        names = choose_talkers(id, utterance.speaker, [(u.id, u.speaker) for u in talkers.values()], seed)
        clips = tuple(clip_of(talkers[name], "s") for name in names)
        return replace(utterance, damage=Babble(level, seed, id, tuple(names), clips))
    if kind == "noise":
        return replace(utterance, damage=WhiteNoise(level, seed, id))
    if kind == "dark":
        return replace(utterance, damage=Dark(level, seed, id))
    if kind == "blur":
        return replace(utterance, damage=Blur(level))
    return replace(utterance, damage=Occlusion(level, seed, id))
