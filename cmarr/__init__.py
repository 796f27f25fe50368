"""Emotion recognition that keeps working when modalities go missing."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("cmarr")
__all__ = ["Recognizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Recognizer":  # torch takes seconds to load, and most of this package needs none
        return import_module("cmarr.recognition.recognizer").Recognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
