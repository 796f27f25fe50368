"""What goes over HTTP: clips, replies, answers with what would change, and complaints."""

from pydantic import Field

from cmarr.declaration import Section

EXAMPLE = {"id": "greeting", "text": "I did not expect that"}
"""A request for every model with text."""


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
    """What is predicted for one clip: `cmarr.recognition.prediction.Prediction` as plain values.

    Where nothing could be predicted for a clip, `refused` says why, and there are no probabilities.
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


class Form(Section):
    """The fields of an upload beside its files `clip`, `audio`, `video` and `captions`.

    text:        what is said
    hide:        modalities that must not be used; may be repeated
    start, end:  seconds of the media that are meant
    window, hop: seconds; a longer recording gets an answer for each window, one every `hop` (half a window), too
    """

    text: str | None = None
    hide: list[str] = Field(default_factory=list)
    start: float | None = None
    end: float | None = None
    window: float | None = None
    hop: float | None = None


class Seen(Section):
    """A prediction, and what it would be without some of the modalities that it rests on.

    hidden: 'speech', 'speech+text', ... -> the prediction where these are hidden
    """

    prediction: Reply
    hidden: dict[str, Reply]


class Answer(Seen):
    """What is predicted for one upload.

    doubt:        sentences about what speaks against the prediction
    hidden_doubt: the same about those in `hidden`
    windows:      of a long recording, its course
    """

    doubt: list[str]
    hidden_doubt: dict[str, list[str]]
    windows: list[Seen]


class Replies(Section):
    """One reply a clip, in their order."""

    predictions: list[Reply]


class Complaint(Section):
    """What is wrong with a request."""

    error_code: str
    message: str


DEFECT = "a defect of cmarr; the server's log tells more"
"""What a client learns of an error that nobody expected."""


def complaint(code: str, sentence: str) -> dict[str, str]:
    """What a `Complaint` is in JSON."""
    return {"error_code": code, "message": sentence}


class About(Section):
    """The model that answers, and what may be asked of it; `name` and `terms` are for people."""

    name: str
    terms: str
    dataset: str
    method: str
    licence: str
    version: str
    classes: list[str]
    modalities: list[str]
    limits: dict[str, float]
