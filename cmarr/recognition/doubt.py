"""Why there is doubt about a prediction, in sentences: what is close, what disagrees, what it does not rest on."""

from collections.abc import Iterator, Mapping

from cmarr.errors import listed
from cmarr.recognition.prediction import Prediction

CLOSE = 0.5
"""Share of the likeliest class's probability from which on another class is close to it."""

DOUBTFUL = 0.5
"""Uncertainty from which on it is worth a sentence of its own."""

APART = 0.5
"""Scores of two modalities that differ by more disagree."""


def doubts(answer: Prediction, alone: Mapping[str, Prediction]) -> list[str]:
    """Sentences about what speaks against a prediction; what casts doubt on the clip stands in its warnings.

    alone: modality -> what is predicted where every other one is hidden

    >>> said = Prediction("a", {"glad": 0.5, "sad": 0.4}, "glad", None, 0.9, ("text",))
    >>> doubts(said, {"text": said})
    ['sad (0.40) is close to glad (0.50)', 'it rests on text alone', 'the model is unsure: uncertainty 0.90 of 1']
    """
    return [*_close(answer), *_apart(alone), *_thin(answer)]


def _close(answer: Prediction) -> Iterator[str]:
    ranked = sorted(answer.probabilities.items(), key=lambda pair: -pair[1])
    if not ranked:
        return
    (first, best), *others = ranked
    near = [f"{name} ({share:.2f})" for name, share in others if share >= CLOSE * best]
    if near:
        yield f"{listed(near)} {'is' if len(near) == 1 else 'are'} close to {first} ({best:.2f})"


def _apart(alone: Mapping[str, Prediction]) -> Iterator[str]:
    if len(alone) < 2:
        return
    told = listed([f"{modality} alone {_says(own)}" for modality, own in alone.items()])
    scores = [own.score for own in alone.values() if own.score is not None]
    if len({own.winner for own in alone.values()}) > 1 or (scores and max(scores) - min(scores) > APART):
        yield f"the modalities disagree: {told}"


def _says(own: Prediction) -> str:
    if own.winner is None:
        return f"gives {own.score:.2f}"
    return f"says {own.winner} ({own.probabilities[own.winner]:.2f})"


def _thin(answer: Prediction) -> Iterator[str]:
    if len(answer.used) == 1:
        yield f"it rests on {answer.used[0]} alone"
    if answer.recovered:
        yield f"{listed(answer.recovered)} was not there, and was reconstructed from the rest"
    if answer.uncertainty is not None and answer.uncertainty > DOUBTFUL:
        yield f"the model is unsure: uncertainty {answer.uncertainty:.2f} of 1"
