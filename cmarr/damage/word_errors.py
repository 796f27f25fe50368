"""Transcripts with word errors, as a speech recogniser makes them: substitutions, deletions, insertions."""

from collections.abc import Iterable, Sequence

from cmarr.damage.chance import generator

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
    draw, said = generator(seed, "word_errors", id), text.split()
    hits = min(int(rate * len(said) + draw.random()), len(said))
    order = draw.permutation(len(said))
    kinds = draw.choice(ERRORS, len(said))
    places = draw.random((len(said), 2))  # in the vocabulary; before or after the word
    if not hits or not words:
        return text
    heard: list[list[str]] = [[word] for word in said]
    for place in order[:hits]:
        kind, (which, side) = kinds[place], places[place]
        if kind == "deletion":
            heard[place] = []
            continue
        drawn = (
            _another(said[place], words, which) if kind == "substitution" else words[int(which * len(words))]
        )
        if kind == "substitution":
            heard[place] = [drawn]
        else:
            heard[place] = [drawn, said[place]] if side < 0.5 else [said[place], drawn]
    return " ".join(word for part in heard for word in part)


def _another(word: str, words: Sequence[str], place: float) -> str:
    """A word that reads differently, from `place` (0 to 1) of the vocabulary on; itself where there is no other."""
    first = int(place * len(words))
    for step in range(len(words)):
        drawn = words[(first + step) % len(words)]
        if drawn.casefold() != word.casefold():
            return drawn
    return word


def word_error_rate(truths: Sequence[str], heard: Sequence[str]) -> float:
    """Edit distance in words over all utterances, divided by the words that were said."""
    from torchaudio.functional import edit_distance

    said = sum(len(text.split()) for text in truths)
    wrong = sum(edit_distance(a.split(), b.split()) for a, b in zip(truths, heard, strict=True))
    return wrong / said if said else 0.0
