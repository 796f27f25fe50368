"""One run of `cmarr predict`: find the clips, predict, write the predictions."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cmarr.budgets import require_name
from cmarr.errors import UserError, require_known
from cmarr.files import write_text
from cmarr.recognition.clips import Given, check_windows, find_clips, passed_over
from cmarr.recognition.doubt import explained
from cmarr.recognition.prediction import (
    FORMAT_OF_ENDING,
    FORMATS,
    Prediction,
    Refusal,
    printable,
    table,
    write_parquet,
)
from cmarr.recognition.recognizer import Recognizer


@dataclass(frozen=True)
class Request:
    """What was asked for, as the options of the command line say it."""

    paths: Sequence[str] = ()
    text: str | None = None
    transcript: Path | None = None
    hide: Sequence[str] = field(default_factory=list)
    window: float | None = None
    hop: float | None = None
    output: Path | None = None
    format: str | None = None
    picture: Path | None = None
    allow_outside: bool = False

    @property
    def written_as(self) -> str:
        """The format of the predictions: asked for, or that of the output's ending, or a table."""
        if self.format is None and self.output is not None:
            return FORMAT_OF_ENDING.get(self.output.suffix.lower(), "table")
        return self.format or "table"

    def check(self) -> None:
        """Raise UserError for what cannot be done, before anything is loaded."""
        for path in self.paths:
            require_name(path)
        if self.transcript is not None:
            require_name(self.transcript)
        if not self.paths and self.text is None and self.transcript is None:
            raise UserError("nothing to predict; name clips, folders or a manifest, or give --text")
        require_known(self.written_as, FORMATS, f"--format {self.format}: there are {', '.join(FORMATS)}")
        if self.written_as == "parquet" and self.output is None:
            raise UserError("--format parquet needs --output, the file to write")
        if self.window is None and (self.hop is not None or self.picture is not None):
            raise UserError("--hop and --picture need --window, the seconds of a window")
        if self.window is not None:
            check_windows(self.window, self.hop or self.window / 2)
        for place in (self.output, self.picture):
            if place is not None:
                require_name(place)
            if place is not None and place.is_dir():
                raise UserError(f"{place} is a folder; name a file")
        if self.picture is not None and self.picture.suffix.lower() not in (".svg", ".png"):
            raise UserError(f"--picture {self.picture}: its ending must be .svg or .png")


def run(request: Request, recognizer: Recognizer, out: TextIO, note: Callable[[str], None]) -> int:
    """Predict, write or print the predictions, call `note` with a sentence about files that are passed over.

    Returns how many clips were refused. Raises UserError for what cannot be done.
    """
    found = find_clips(
        request.paths, text=request.text, transcript=request.transcript, allow_outside=request.allow_outside
    )
    if sentence := passed_over(request.paths):
        note(sentence)
    if request.picture is not None:
        from cmarr.recognition.course import draw_course, require_few

        require_few(len(found))
    results: list[Prediction | Refusal]
    reasons: list[str] = []
    if (
        request.written_as == "table"
        and request.window is None
        and len(found) == 1
        and isinstance(found[0], Given)
    ):
        answer, reasons = explained(recognizer, found[0], request.hide)
        results = [answer]
    else:
        results = list(
            recognizer.predict_found(found, hide=request.hide, window=request.window, hop=request.hop)
        )
    try:
        _write(request, recognizer, results, reasons, out)
        if request.picture is not None:
            draw_course(request.picture, results, recognizer.classes)
    except BrokenPipeError:
        raise  # whoever reads the predictions has read enough
    except OSError as error:
        place = error.filename2 or error.filename or request.output or request.picture or "standard output"
        raise UserError(f"{place} cannot be written ({error.strerror}); name another file") from None
    return sum(isinstance(result, Refusal) for result in results)


def _write(
    request: Request,
    recognizer: Recognizer,
    results: Sequence[Prediction | Refusal],
    reasons: Sequence[str],
    out: TextIO,
) -> None:
    if request.written_as == "parquet" and request.output is not None:
        write_parquet(request.output, results, recognizer.classes)
        return
    if request.written_as == "jsonl":  # ASCII only, so that no reader can trip over it
        text = "".join(json.dumps(result.as_dict(), allow_nan=False) + "\n" for result in results)
    else:
        text = "\n? ".join([table(results, recognizer.classes), *map(printable, reasons)]) + "\n"
    if request.output is not None:
        write_text(request.output, text)
    else:
        out.write(text)
        out.flush()
