"""What a model is and where it comes from: all that has to go with its weights to use them anywhere."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from cmarr.errors import UserError
from cmarr.files import read_json
from cmarr.settings.schema import Encoders, Names, Section
from cmarr.validation import validate

FORMAT = 1
"""Of the exported folder; a reader refuses another one."""

LARGEST = 2**24
"""Bytes of a description; a real one has some thousand."""

TOKENIZER = "tokenizer.json"
"""File of an exported folder that cuts text into the pieces which a fine-tuned network reads."""

FILES = {"model": "a folder or an id on the model hub", "weights": "a file", "detector_file": "a file"}
"""Settings of encoders that may say where something lies."""


class EncoderAbout(Section):
    """How the features of one modality were made.

    `name` and `settings` are those of params.yaml, `name` None where the corpus brought its features;
    `provenance` is what the encoder said of itself: revision, libraries, parameters.
    """

    name: str | None
    settings: dict[str, Any]
    provenance: dict[str, str]


class Raw(Section):
    """Input of a network that was trained with the method and lies in its weights: which network it is for.

    An exported model brings along what its input takes, so that the network need not be fetched for it:
    tokenizer: SHA-256 of the file `TOKENIZER` beside the description
    least:     samples that the network needs to answer at all
    """

    model: str
    revision: str
    tokenizer: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    least: Annotated[int, Field(ge=0, le=2**20)] = 0


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Encoders.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
} | {"waveforms": Raw, "word_pieces": Raw}
"""Encoder -> what its settings may hold."""


class Member(Section):
    """One trained model: its file, the fold and seed it was trained with, the epoch that was kept.

    `score` is the validation score that chose the epoch: mean UAR, or minus the mean MAE.
    """

    file: Annotated[str, Field(pattern=r"^fold\d+-seed\d+\.safetensors$")]
    fold: int
    seed: int
    epoch: int
    score: float


class About(Section):
    """A method's trained models, one or an ensemble, with everything that an answer depends on."""

    format: Literal[1]
    product: str
    dataset: str
    method: str
    classes: Names
    models: Annotated[tuple[Member, ...], Field(min_length=1)]
    encoders: dict[Literal["speech", "video", "text"], EncoderAbout]
    settings: dict[str, Any]
    train: dict[str, Any]
    metrics: dict[str, Any]


def check_about(values: Any, source: str) -> About:
    """Validate a description and the encoders' settings in it. Raises UserError, naming `source` and the key."""
    if not isinstance(values, dict) or "format" not in values:
        raise UserError(f"{source}: is not the description of a model; export it again with `cmarr export`")
    if values["format"] != FORMAT:
        raise UserError(
            f"{source}: has the format {values['format']!r}, this version of cmarr reads {FORMAT}; "
            "use the version that wrote it, or export the model again"
        )
    about = validate(About, values, source)
    for modality, encoder in about.encoders.items():
        if encoder.name is None:
            continue
        if encoder.name not in SECTIONS:
            raise UserError(f"{source}: encoders.{modality}.name: {encoder.name!r} is not an encoder")
        validate(SECTIONS[encoder.name], encoder.settings, f"{source}: encoders.{modality}.settings")
    return about


def read_about(path: str | Path) -> About:
    """Read a description. Raises UserError for a file that is absent, damaged or of another kind."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: has {path.stat().st_size} bytes and is not the description of a model")
        values = read_json(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) else "nested too deeply"
        raise UserError(f"{path}: is not JSON ({reason}); export the model again") from None
    return check_about(values, str(path))
