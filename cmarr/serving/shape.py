"""The shapes of a request and of a reply, from which MLflow takes a model's signature."""

from cmarr.settings.schema import Section


class Clip(Section):
    """One clip of a request; whatever it lacks is simply missing.

    id:           comes back with the answer; without one, its number in the request
    clip:         base64 of a media file whose sound and picture are both used
    audio, video: base64 of media files, in place of what `clip` holds
    text:         what is said
    features:     'speech', 'video' or 'text' -> rows of numbers, in place of what an encoder would make
    hide:         modalities that must not be used
    start, end:   seconds of the media that are meant
    """

    id: str | None = None
    clip: str | None = None
    audio: str | None = None
    video: str | None = None
    text: str | None = None
    features: dict[str, list[list[float]]] | None = None
    hide: list[str] | None = None
    start: float | None = None
    end: float | None = None


class Reply(Section):
    """What is said about one clip: `cmarr.recognition.answer.Answer` as plain values.

    Where a clip could not be answered, `refused` says why, and there are no probabilities.
    """

    id: str
    start: float | None = None
    end: float | None = None
    winner: str | None = None
    score: float | None = None
    probabilities: dict[str, float]
    uncertainty: float | None = None
    used: list[str]
    recovered: list[str]
    missing: dict[str, str]
    warnings: list[str]
    refused: str | None = None


EXAMPLE = {"id": "greeting", "text": "I did not expect that"}
"""A request that every model with text can answer."""
