"""A recognizer for requests: bounded, one at a time, and never with the name of a temporary file."""

import contextlib
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmarr.errors import Unreadable, UserError, did_you_mean
from cmarr.modalities import LETTERS
from cmarr.recognition.clips import Given
from cmarr.recognition.prediction import Refusal, without_place
from cmarr.recognition.recognizer import Recognizer
from cmarr.serving.requests import DEFAULTS, EXAMPLE, LIMITED, MOST, bounds, given, read_clips


class Service:
    """Requests in, replies out. Requests wait for one another: a clip is decoded by all cores already.

    recognizer: its limits are those of the service
    max_clips:  most clips of one request
    """

    def __init__(self, recognizer: Recognizer, max_clips: int = MOST):
        self.recognizer, self.max_clips = recognizer, max_clips
        self._turn = threading.Lock()

    def warm(self) -> None:
        """Predict something at once, so that the first request does not wait for libraries to load."""
        with contextlib.suppress(UserError):  # of a model that knows no text
            self.reply([EXAMPLE])

    def reply(self, inputs: object) -> list[dict[str, Any]]:
        """One reply a clip, in order, as `cmarr.serving.requests.Reply` has it.

        A clip for which nothing can be predicted does not cost the others theirs. Raises UserError for a request that
        is not one, and Unreadable where nothing can be predicted for any clip of it.
        """
        clips = read_clips(inputs, self.max_clips)
        with self._turn, tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
            results: list[Any] = list(given(clips, Path(scratch), self.recognizer.limits))
            hidden = [tuple(sorted(clip.hide or ())) for clip in clips]
            for hide in dict.fromkeys(hidden):
                places = [
                    i for i, clip in enumerate(results) if isinstance(clip, Given) and hidden[i] == hide
                ]
                found = self.recognizer.predict_all([results[i] for i in places], hide)
                for i, result in zip(places, found, strict=True):
                    own = without_place(result, f"{scratch}{os.sep}{i}{os.sep}", "the given ")
                    results[i] = replace(own, id=results[i].utterance.id)
        if all(isinstance(result, Refusal) for result in results):
            reasons = [f"inputs[{i}]: {result.reason}" for i, result in enumerate(results)]
            more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            raise Unreadable("; ".join(reasons[:3]) + more)
        return [result.as_dict() for result in results]


def configured(model: str | Path, config: dict[str, Any]) -> Service:
    """A service of an exported model, as plain values say it; see `cmarr.serving.pyfunc_model`. Raises UserError."""
    own = {name: config.pop(name) for name in LIMITED if name in config}
    machine = {name: config.pop(name) for name in ("device", "workers") if name in config}
    weights = {m: config.pop(f"weights_{m}") for m in LETTERS if f"weights_{m}" in config}
    if config:
        name = next(iter(config))
        raise UserError(f"model_config: there is no {name!r}{did_you_mean(name, DEFAULTS)}")
    limits, most = bounds(own)
    recognizer = Recognizer.load(
        model, limits=limits, weights={m: w for m, w in weights.items() if w}, **machine
    )
    return Service(recognizer, most)
