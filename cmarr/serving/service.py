"""A recognizer for requests: bounded, in fair turns, and never with the name of a temporary file."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from cmarr.corpora.headers import Header
from cmarr.errors import Unreadable, UserError, did_you_mean
from cmarr.modalities import LETTERS
from cmarr.recognition.clips import Given, check_windows, clip_from, with_transcript
from cmarr.recognition.doubt import alone_of, doubts
from cmarr.recognition.prediction import Prediction, Refusal, without_place
from cmarr.recognition.recognizer import Recognizer
from cmarr.serving.messages import EXAMPLE, Form
from cmarr.serving.requests import DEFAULTS, LIMITED, MOST, bounds, given, read_clips
from cmarr.serving.turns import MEDIA_LANES, Patience, Turns

LIGHT = 100_000
"""Weight of a request without media (20 for a character, 4 for a number) up to which it goes by the quick lane."""

SHORT = 30.0
"""Seconds of media up to which a request goes by the middle lane, a lighter one going by the quick one."""

MOST_WINDOWS = 240
"""Windows of an upload."""

WINDOWS = 8
"""Windows of one turn."""

T = TypeVar("T")

Found = tuple[list[Given | Refusal], list[tuple[str, ...]]]
"""The clips of a request, and what is hidden of each."""


class Service:
    """Requests in, replies out.

    Requests take turns, a few clips each: all cores decode a clip already. Those without media have a lane of their
    own, and so have short clips: neither waits for a long one.

    recognizer: its limits are those of the service
    max_clips:  most clips of one request
    """

    def __init__(self, recognizer: Recognizer, max_clips: int = MOST):
        self.recognizer, self.max_clips = recognizer, max_clips
        self._opening, self._lanes = Turns(), [Turns(), Turns(), Turns()]
        # Such a model has to see all clips of a speaker at once.
        self._whole = any(model.normaliser.by_speaker for model in recognizer.models)

    def warm(self) -> None:
        """Predict something at once, so that the first request does not wait for libraries to load."""
        with contextlib.suppress(UserError):  # of a model that knows no text
            self.reply([EXAMPLE])

    def reply(self, inputs: object) -> list[dict[str, Any]]:
        """One reply a clip, in order, as `cmarr.serving.messages.Reply` has it.

        A clip for which nothing can be predicted does not cost the others theirs. Raises UserError for a request that
        is not one, and Unreadable where nothing can be predicted for any clip of it.
        """
        with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
            return self.answer(self.unpack(inputs, Path(scratch)), Path(scratch), Patience())

    def unpack(self, inputs: object, scratch: Path) -> Found:
        """The clips of a request; their media are put into the folder `scratch`. Raises UserError."""
        clips = read_clips(inputs, self.max_clips)
        hidden = [tuple(sorted(clip.hide or ())) for clip in clips]
        return list(given(clips, scratch, self.recognizer.limits)), hidden

    def answer(self, found: Found, scratch: Path, patience: Patience) -> list[dict[str, Any]]:
        """The replies to what `unpack` found. Raises Unreadable as `reply` does, and TooLate."""
        results: list[Any] = found[0]
        hidden, lane = found[1], self._lane(found[0], patience)
        for hide in dict.fromkeys(hidden):
            places = [i for i, clip in enumerate(results) if isinstance(clip, Given) and hidden[i] == hide]
            for part in self._portions(places, self.recognizer.reader.workers):
                with lane.turn(patience):
                    told = list(self.recognizer.predict_all([results[i] for i in part], hide))
                for i, result in zip(part, told, strict=True):
                    own = without_place(result, f"{scratch}{os.sep}{i}{os.sep}", "the given ")
                    results[i] = replace(own, id=results[i].utterance.id)
        if all(isinstance(result, Refusal) for result in results):
            reasons = [f"inputs[{i}]: {result.reason}" for i, result in enumerate(results)]
            more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            raise Unreadable("; ".join(reasons[:3]) + more)
        return [result.as_dict() for result in results]

    def look(
        self, form: Form, files: Mapping[str, Path], scratch: Path, patience: Patience
    ) -> dict[str, Any]:
        """What is predicted for an upload, and without each modality, as `cmarr.serving.messages.Answer` has it.

        files: 'clip', 'audio', 'video', 'captions' -> what was uploaded, in the folder `scratch`

        Raises UserError for a form that cannot be, Unreadable where nothing can be predicted, and TooLate.
        """
        clip = clip_from(
            files.get("clip"),
            audio=files.get("audio"),
            video=files.get("video"),
            text=form.text,
            start=form.start,
            end=form.end,
            scratch=scratch,
        )
        if "captions" in files and form.text is None:
            clip = with_transcript(clip.utterance, files["captions"])
        shown = [m for m in self.recognizer.modalities if m not in form.hide]
        hides = [tuple(form.hide), *(tuple({*form.hide, *some}) for some in _parts(shown))]
        lane = self._lane([clip], patience)
        with lane.turn(patience):
            (seen,) = self._seen([clip], hides, scratch)
            parts = self._windows(clip, form)
        answer = seen[0]
        if isinstance(answer, Refusal):
            raise Unreadable(answer.reason)
        windows = []
        for portion in self._portions(parts, WINDOWS):
            with lane.turn(patience):
                windows += self._seen(portion, hides, scratch)
        alone = alone_of(seen)
        without = {key: doubts(result, alone) for key, result in _without(seen, shown).items()}
        return {
            **_pair(seen, shown),
            "doubt": doubts(answer, alone),
            "hidden_doubt": without,
            "windows": [_pair(window, shown) for window in windows],
        }

    def _seen(
        self, clips: Sequence[Given], hides: Sequence[tuple[str, ...]], scratch: Path
    ) -> list[list[Prediction | Refusal]]:
        place = f"{scratch}{os.sep}"
        return [
            [replace(without_place(result, place, "the given "), id="0") for result in results]
            for results in self.recognizer.predict_hiding(clips, hides)
        ]

    def _windows(self, clip: Given, form: Form) -> list[Given]:
        if form.window is None:
            return []
        hop = form.hop or form.window / 2
        check_windows(form.window, hop)
        parts = self.recognizer.windows([clip.utterance], form.window, hop)
        if len(parts) > MOST_WINDOWS:
            raise UserError(f"{len(parts)} windows, more than {MOST_WINDOWS}; take a larger hop")
        return [replace(clip, utterance=part) for part in parts] if len(parts) > 1 else []

    def _lane(self, clips: Sequence[Given | Refusal], patience: Patience) -> Turns:
        found = [clip for clip in clips if isinstance(clip, Given)]
        weight = sum(20 * len(clip.utterance.text or "") for clip in found)
        weight += sum(4 * rows.size for clip in found for rows in clip.features.values())
        media = [clip.utterance for clip in found if clip.utterance.audio or clip.utterance.video]
        if not media:
            return self._lanes[0 if weight <= LIGHT else 2]
        with self._opening.turn(patience):
            headers = self.recognizer.reader.headers(media)
        # A length that nobody knows may be any; what cannot be opened takes no time.
        lengths = [header.seconds for header in headers.values() if isinstance(header, Header)]
        short = weight <= LIGHT and sum(inf if length is None else length for length in lengths) <= SHORT
        return self._lanes[1 if short else 2]

    def _portions(self, items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
        """What is predicted in one turn."""
        size = max(len(items), 1) if self._whole else size
        for start in range(0, len(items), size):
            yield items[start : start + size]


def _parts(shown: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What may be hidden of some modalities: one, or several, but not all."""
    for count in range(1, len(shown)):
        yield from combinations(shown, count)


def _pair(results: Sequence[Prediction | Refusal], shown: Sequence[str]) -> dict[str, Any]:
    """A prediction, and those without modalities that it rests on."""
    hidden = {key: result.as_dict() for key, result in _without(results, shown).items()}
    return {"prediction": results[0].as_dict(), "hidden": hidden}


def _without(results: Sequence[Prediction | Refusal], shown: Sequence[str]) -> dict[str, Prediction]:
    """'speech', 'speech+text', ... -> the prediction without these, which the first of the results rests on."""
    whole, *others = results
    used = whole.used if isinstance(whole, Prediction) else ()
    pairs = zip(_parts(shown), others, strict=True)
    return {"+".join(some): o for some, o in pairs if isinstance(o, Prediction) and {*some} < {*used}}


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
        model, keep=MEDIA_LANES, limits=limits, weights={m: w for m, w in weights.items() if w}, **machine
    )
    return Service(recognizer, most)
