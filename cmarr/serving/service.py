"""A recognizer that answers requests: bounded, one at a time, and never with the name of a temporary file."""

import contextlib
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmarr.errors import Unreadable, UserError, did_you_mean
from cmarr.modalities import LETTERS
from cmarr.recognition.prediction import Refusal, retold
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
        """Answer something at once, so that the first request does not wait for libraries to load."""
        with contextlib.suppress(UserError):  # of a model that knows no text
            self.answers([EXAMPLE])

    def answers(self, inputs: object) -> list[dict[str, Any]]:
        """One reply a clip, in order, as `cmarr.serving.requests.Reply` has it.

        A clip that cannot be answered does not cost the others theirs. Raises UserError for a request that
        is not one, and Unreadable where no clip of it can be answered.
        """
        clips = read_clips(inputs, self.recognizer.limits, self.max_clips)
        with self._turn, tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
            asked = list(given(clips, Path(scratch)))
            told: dict[int, Any] = {}
            for hidden in dict.fromkeys(tuple(sorted(clip.hide or ())) for clip in clips):
                places = [i for i, clip in enumerate(clips) if tuple(sorted(clip.hide or ())) == hidden]
                answers = self.recognizer.predict_all([asked[i] for i in places], hidden)
                told |= dict(zip(places, answers, strict=True))
        found = [
            replace(retold(told[i], f"{scratch}{os.sep}{i}{os.sep}", "the given "), id=asked[i].utterance.id)
            for i in range(len(clips))
        ]
        if all(isinstance(answer, Refusal) for answer in found):
            reasons = [f"inputs[{i}]: {a.reason}" for i, a in enumerate(found) if isinstance(a, Refusal)]
            more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            raise Unreadable("; ".join(reasons[:3]) + more)
        return [answer.as_dict() for answer in found]


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
