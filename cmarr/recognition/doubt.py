"""Why there is doubt about a prediction, in sentences: what is close, what disagrees, what it does not rest on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from cmarr.errors import listed
from cmarr.modalities import NAMES
from cmarr.recognition.clips import Given, letter_of
from cmarr.recognition.prediction import Prediction, Refusal
from cmarr.recognition.reading import EXPECTED

if TYPE_CHECKING:
    from cmarr.recognition.recognizer import Recognizer

CLOSE = 0.5
"""Share of the likeliest class's probability from which on another class is close to it."""

DOUBTFUL = 0.5
"""Uncertainty from which on it is worth a sentence of its own."""

APART = 0.5
"""Scores of two modalities that differ by more disagree."""


def doubts(answer: Prediction, alone: Mapping[str, Prediction]) -> list[str]:
    """Sentences about what speaks against a prediction; what casts doubt on the clip stands in its warnings.

    alone: modality -> what is predicted where every other one is hidden; those that it does not rest on do not count

    >>> said = Prediction("a", {"glad": 0.5, "sad": 0.4}, "glad", None, 0.9, ("text",))
    >>> doubts(said, {"text": said})
    ['sad (0.40) is close to glad (0.50)', 'it rests on text alone', 'the model is unsure: uncertainty 0.90 of 1']
    """
    own = {modality: alone[modality] for modality in answer.used if modality in alone}
    return [*_close(answer), *_apart(own), *_thin(answer)]


def alone_of(results: Iterable[Prediction | Refusal]) -> dict[str, Prediction]:
    """Modality -> the prediction that rests on it alone, of a clip's predictions with one part or another hidden."""
    return {r.used[0]: r for r in results if isinstance(r, Prediction) and len(r.used) == 1}


def explained(
    recognizer: "Recognizer", clip: Given, hide: Sequence[str] = ()
) -> tuple[Prediction | Refusal, list[str]]:
    """What is predicted for a clip, and sentences: what it was not read from, and what speaks against it.

    Raises UserError for a modality in `hide` that does not exist.
    """
    hidden = {NAMES[letter_of(m)] for m in hide}
    shown = [m for m in recognizer.modalities if m not in hidden]
    hides = [hidden, *({*hidden, *shown} - {m} for m in shown if len(shown) > 1)]
    (seen,) = recognizer.predict_hiding([clip], hides)
    answer = seen[0]
    if isinstance(answer, Refusal):
        return answer, []
    left = [
        f"no {m}: {why}" for m, why in answer.missing.items() if why.startswith(EXPECTED)
    ]  # else it was warned of
    return answer, [*left, *doubts(answer, alone_of(seen))]


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
        was = "was" if len(answer.recovered) == 1 else "were"
        yield f"{listed(answer.recovered)} {was} not there, and {was} reconstructed from the rest"
    if answer.uncertainty is not None and answer.uncertainty > DOUBTFUL:
        yield f"the model is unsure: uncertainty {answer.uncertainty:.2f} of 1"
