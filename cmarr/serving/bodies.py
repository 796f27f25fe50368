"""The body of a request, as it was received into a file: JSON, or an upload."""

import io
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from cmarr.errors import UserError
from cmarr.serving.messages import Form
from cmarr.serving.turns import Patience
from cmarr.validation import validate

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # what is wrong is told to who sent it

MOST_VALUES = 4_000_000
"""Values of a request; each takes eight times its bytes and more in memory."""

FILES = {"clip": "clip", "audio": "audio", "video": "video", "captions": "captions.srt"}
"""The files of an upload, and what they are called here: nothing of what a client calls them."""

MOST_FIELDS, FIELD_BYTES, PIECE = 32, 4_000_000, 1 << 18


class Wrong(Exception):
    """A request that gets a status and a sentence."""

    def __init__(self, status: int, code: str, sentence: str):
        super().__init__(sentence)
        self.status, self.code = status, code


def read_inputs(body: bytes | Path) -> Any:
    """The value of "inputs". Raises Wrong for what is not JSON, or holds too much."""
    if isinstance(body, Path):
        body = body.read_bytes()
    if body[:2] == b"\x1f\x8b":
        raise Wrong(415, "BAD_REQUEST", "the request is compressed (gzip); send it as it is")
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES:
        raise Wrong(413, "BAD_REQUEST", f"the request holds more than {MOST_VALUES} values; send fewer clips")
    try:
        content = json.loads(body)
    except RecursionError:
        raise Wrong(400, "BAD_REQUEST", "the request is nested too deeply") from None
    except (
        ValueError
    ) as error:  # of JSON, of bytes that are no UTF-8, of whole numbers of thousands of digits
        reason = getattr(error, "msg", None) or (
            "not UTF-8" if isinstance(error, UnicodeError) else "a number is too long"
        )
        place = f", character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Wrong(400, "BAD_REQUEST", f"the request is not JSON ({reason}{place})") from None
    if not isinstance(content, dict) or set(content) != {"inputs"}:
        raise Wrong(
            400, "BAD_REQUEST", 'write {"inputs": [{"text": "..."}, ...]}, and nothing else beside "inputs"'
        )
    return content["inputs"]


def read_upload(
    body: bytes | Path, content_type: str, scratch: Path, patience: Patience
) -> tuple[Form, dict[str, Path]]:
    """The fields of an upload, and its files, which are put into the folder `scratch`.

    Raises Wrong for what is no upload, UserError for fields that do not exist or cannot be, and TooLate.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import File, create_form_parser

    fields: list[tuple[str, str]] = []
    files: dict[str, Path] = {}

    def count(name: bytes | None) -> str:
        if len(fields) + len(files) >= MOST_FIELDS:
            raise UserError(f"the upload has more than {MOST_FIELDS} fields")
        return (name or b"").decode("utf-8", "replace")

    def on_field(field: Any) -> None:
        name = count(field.field_name)
        try:
            fields.append((name, (field.value or b"").decode("utf-8")))
        except UnicodeDecodeError:
            raise UserError(f"{name}: is not UTF-8") from None

    def on_file(file: File) -> None:
        name = count(file.field_name)
        if name not in FILES or name in files:
            there = (
                "is there twice" if name in files else f"is no file that is asked for ({', '.join(FILES)})"
            )
            raise UserError(f"the file {name[:40]!r} {there}")
        with (scratch / FILES[name]).open("wb") as copy:
            file.file_object.seek(0)
            shutil.copyfileobj(file.file_object, copy)
        file.close()
        if file.size or file.file_name:  # a form in a browser sends an empty one for what was not chosen
            files[name] = scratch / FILES[name]

    config = {"UPLOAD_DIR": str(scratch), "MAX_FIELD_SIZE": FIELD_BYTES}
    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")}, on_field, on_file, config=config
        )
        with io.BytesIO(body) if isinstance(body, bytes) else body.open("rb") as coming:
            while piece := coming.read(PIECE):
                parser.write(piece)
                patience.check()
        parser.finalize()
    except FormParserError as error:
        raise Wrong(400, "BAD_REQUEST", f"the upload cannot be read ({error})") from None
    return _form(fields), files


def _form(fields: list[tuple[str, str]]) -> Form:
    values: dict[str, Any] = {"hide": [value for name, value in fields if name == "hide" and value]}
    for name, value in fields:
        if name == "hide":
            continue
        if name in values:
            raise UserError(f"{name[:40]}: is there twice")
        if value or name == "text":
            values[name] = value
    return validate(Form, values, "the upload")
