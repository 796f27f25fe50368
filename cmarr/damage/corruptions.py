"""Corruptions of the raw signal: speech in noise, transcripts with word errors, dark, blurred and covered video."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cmarr.damage.kinds import KINDS
from cmarr.errors import Unreadable
from cmarr.extras import extra
from cmarr.media.audio import read_audio
from cmarr.media.clips import Clip, clip_of
from cmarr.utterance import Utterance

with extra("media"):
    import cv2


def generator(seed: int, *names: str) -> np.random.Generator:
    """A source of draws of its own for every seed and names (kind, utterance, ...).

    What happens to an utterance therefore depends on no other one, nor on the order or number of workers; and a
    kind draws the same at all its levels, so that they differ by degree alone.
    """
    return np.random.default_rng([seed, *"\n".join(names).encode()])


TALKERS = 6
"""Utterances of other speakers that make up babble."""


@dataclass(frozen=True)
class WhiteNoise:
    """Gaussian noise with the same power at all frequencies, `snr` dB below the speech."""

    snr: float
    seed: int
    id: str

    def __call__(self, samples: np.ndarray, time: float) -> np.ndarray:
        """Samples (N,) with the noise added; not clipped."""
        drawn = generator(self.seed, "noise", self.id).standard_normal(len(samples), np.float32)
        return with_noise(samples, drawn, self.snr)


@dataclass(frozen=True)
class Babble:
    """Other people talking at once, all equally loud, `snr` dB below the speech together.

    clips: theirs; names: their utterances'. Each begins at a place of its own and starts over when it ends; one
    that cannot be read is left out. Raises Unreadable, when called, if none can be read.
    """

    snr: float
    seed: int
    id: str
    names: tuple[str, ...]
    clips: tuple[Clip, ...] = field(repr=False)

    def __call__(self, samples: np.ndarray, time: float) -> np.ndarray:
        """Samples (N,) with the babble added; not clipped."""
        draw = generator(self.seed, "babble", self.id)
        mixed = np.zeros(len(samples), np.float32)
        for clip in self.clips:
            begin = draw.random()
            try:
                voice = read_audio(clip)
            except Unreadable:
                continue
            voice = np.resize(np.roll(voice, -int(begin * len(voice))), len(samples))
            mixed += voice / max(float(np.linalg.norm(voice)), 1e-6)
        if not mixed.any():
            raise Unreadable(
                f"none of the utterances {', '.join(self.names)}, which make babble, can be read"
            )
        return with_noise(samples, mixed, self.snr)


def with_noise(samples: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Samples (N,) plus noise (N,) scaled so that the one has `snr` dB more energy; infinity adds nothing."""
    energies = [float(np.square(part, dtype=np.float64).sum()) for part in (samples, noise)]
    if not energies[1]:
        return samples
    scale = np.sqrt(energies[0] / energies[1]) * 10 ** (-snr / 20)
    return samples + np.float32(scale) * noise


def choose_talkers(
    id: str, speaker: str | None, voiced: Sequence[tuple[str, str | None]], seed: int
) -> list[str]:
    """Ids of `TALKERS` utterances for babble over utterance `id`, of other speakers where there are any.

    voiced: (id, speaker) of every utterance of the corpus that has sound, in any order.
    """
    others = sorted(name for name, who in voiced if name != id and (who is None or who != speaker))
    others = others or sorted(name for name, _ in voiced if name != id)
    count = min(TALKERS, len(others))
    return [others[i] for i in generator(seed, "talkers", id).choice(len(others), count, replace=False)]


READ_NOISE = 1.0
"""Deviation of a camera's own noise, in steps of an 8-bit frame. It does not fade with the light."""


@dataclass(frozen=True)
class Dark:
    """`stops` halvings of the light.

    Grey levels are scaled and rounded, so that nearby ones become the same. A recording holds the camera's read
    noise already, which scaling takes down with the light; what is missing of it is put back.
    """

    stops: float
    seed: int
    id: str

    def __call__(self, gray: np.ndarray, time: float) -> np.ndarray:
        """A frame (H, W) uint8, darkened."""
        light = 2.0**-self.stops
        missing = READ_NOISE * np.sqrt(1 - light**2)
        noise = generator(self.seed, "dark", self.id, f"{time:.3f}").standard_normal(gray.shape, np.float32)
        seen: np.ndarray = np.clip(np.rint(light * gray + missing * noise), 0, 255)
        return seen.astype(np.uint8)


@dataclass(frozen=True)
class Blur:
    """Out of focus: a Gaussian whose deviation is `width` percent of the frame's height."""

    width: float

    def __call__(self, gray: np.ndarray, time: float) -> np.ndarray:
        """A frame (H, W) uint8, blurred."""
        deviation = self.width / 100 * gray.shape[0]
        return cv2.GaussianBlur(gray, (0, 0), deviation) if deviation > 0 else gray


@dataclass(frozen=True)
class Occlusion:
    """A black rectangle with the frame's proportions over `share` (0 to 1) of its area.

    It lies anywhere within the frame, in the same place throughout the utterance.
    """

    share: float
    seed: int
    id: str

    def __call__(self, gray: np.ndarray, time: float) -> np.ndarray:
        """A frame (H, W) uint8, partly black."""
        size = [round(side * self.share**0.5) for side in gray.shape]
        at = generator(self.seed, "occlusion", self.id).random(2)
        top, left = (int(u * (side - part + 1)) for u, side, part in zip(at, gray.shape, size, strict=True))
        covered = gray.copy()
        covered[top : top + size[0], left : left + size[1]] = 0
        return covered


ERRORS = ("substitution", "deletion", "insertion")
"""Equally likely."""


def vocabulary(transcripts: Iterable[str | None]) -> tuple[str, ...]:
    """Every word of some transcripts, sorted, as often as it occurs: what substitutions and insertions draw from."""
    return tuple(sorted(word for text in transcripts if text for word in text.split()))


def with_word_errors(text: str, rate: float, words: Sequence[str], seed: int, id: str) -> str:
    """A transcript in which `rate` (0 to 1) of the words are hit by an error.

    Words are what blanks separate. `words` is a `vocabulary`; frequent words are drawn more often. Of a fraction
    of a word is decided by chance whether it is hit, so that the rate is right over many utterances. The errors
    of a higher rate include those of a lower one; where none falls, the text comes back as it was.
    """
    draw, spoken = generator(seed, "word_errors", id), text.split()
    hits = min(int(rate * len(spoken) + draw.random()), len(spoken))
    order = draw.permutation(len(spoken))
    kinds = draw.choice(ERRORS, len(spoken))
    places = draw.random((len(spoken), 2))  # in the vocabulary; before or after the word
    if not hits or not words:
        return text
    parts: list[list[str]] = [[word] for word in spoken]
    for place in order[:hits]:
        kind, (which, side) = kinds[place], places[place]
        if kind == "deletion":
            parts[place] = []
        elif kind == "substitution":
            parts[place] = [_another(spoken[place], words, which)]
        else:
            inserted = words[int(which * len(words))]
            parts[place] = [inserted, spoken[place]] if side < 0.5 else [spoken[place], inserted]
    return " ".join(word for part in parts for word in part)


def _another(word: str, words: Sequence[str], place: float) -> str:
    """A word that reads differently, from `place` (0 to 1) of the vocabulary on; itself where there is no other."""
    first = int(place * len(words))
    for step in range(len(words)):
        drawn = words[(first + step) % len(words)]
        if drawn.casefold() != word.casefold():
            return drawn
    return word


def word_error_rate(truths: Sequence[str], received: Sequence[str]) -> float:
    """Edit distance in words over all utterances, divided by the words that were spoken."""
    spoken = sum(len(text.split()) for text in truths)
    wrong = sum(_edits(a.split(), b.split()) for a, b in zip(truths, received, strict=True))
    return wrong / spoken if spoken else 0.0


def _edits(first: Sequence[str], second: Sequence[str]) -> int:
    """Fewest words to insert, delete or replace that turn one sequence into the other (Levenshtein)."""
    row = list(range(len(second) + 1))  # of the words so far of `first`, against each beginning of `second`
    for word in first:
        before, row[0] = row[0], row[0] + 1
        for place, other in enumerate(second, start=1):
            replaced = before + (word != other)
            before = row[place]
            row[place] = min(replaced, before + 1, row[place - 1] + 1)
    return row[-1]


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
