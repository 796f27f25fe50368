"""Which encoders there are. An encoder's file is imported only when that encoder is used."""

import importlib
import inspect
from typing import Any

from cmarr.encoders.protocol import Encoder
from cmarr.errors import UserError, did_you_mean

ENCODERS = {
    "logmel": "LogMel",
    "wav2vec2": "Wav2vec2",
    "hog": "Hog",
    "denseface": "DensefaceRows",
    "hashing": "Hashing",
    "bert": "Bert",
    "waveforms": "Waveforms",
    "word_pieces": "WordPieces",
}
"""Key in params.yaml, which is also the module's name in this folder -> class. The last two stand in for
wav2vec2 and bert where those are trained with the method, and write what they read."""


def build_encoder(name: str, **settings: Any) -> Encoder:
    """Construct an encoder by its key; raises UserError for a key that does not exist."""
    return _class(name)(**settings)


def keywords(name: str) -> list[str]:
    """The settings that an encoder's constructor takes; raises UserError for a key that does not exist."""
    return list(inspect.signature(_class(name)).parameters)


def _class(name: str) -> Any:
    if name not in ENCODERS:
        raise UserError(
            f"encoders: {name!r} is not an encoder; there are {', '.join(ENCODERS)}{did_you_mean(name, ENCODERS)}"
        )
    module = importlib.import_module(f"cmarr.encoders.{name}")
    return getattr(module, ENCODERS[name])
