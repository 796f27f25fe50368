"""Emotion recognition that keeps working when modalities go missing.

    import cmarr

    cmarr.Recognizer.from_pretrained().predict("clip.mp4")          # an answer at once

    corpus = cmarr.load_corpus("clips.csv")                         # a study
    model = cmarr.train(corpus, "gaussian")
    cmarr.evaluate(model)

docs/python.md goes through all of it.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmarr.errors import Unreadable as Unreadable
    from cmarr.errors import UserError as UserError
    from cmarr.methods.registry import method_names as method_names
    from cmarr.recognition.recognizer import Recognizer as Recognizer
    from cmarr.study.corpus import Corpus as Corpus
    from cmarr.study.corpus import load_corpus as load_corpus
    from cmarr.study.model import TrainedMethod as TrainedMethod
    from cmarr.study.model import train as train
    from cmarr.study.results import Comparison as Comparison
    from cmarr.study.results import Results as Results
    from cmarr.study.results import compare as compare
    from cmarr.study.results import evaluate as evaluate
    from cmarr.study.settings import preset_names as preset_names

__version__ = version("cmarr")

_HOMES = {
    "Recognizer": "recognition.recognizer",
    "load_corpus": "study.corpus",
    "Corpus": "study.corpus",
    "train": "study.model",
    "TrainedMethod": "study.model",
    "method_names": "methods.registry",
    "preset_names": "study.settings",
    "evaluate": "study.results",
    "Results": "study.results",
    "compare": "study.results",
    "Comparison": "study.results",
    "UserError": "errors",
    "Unreadable": "errors",
}
"""Where the public names come from; each is imported when it is first used, as torch takes seconds to load."""

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
