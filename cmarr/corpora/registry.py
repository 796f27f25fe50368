"""Which corpora there are. A reader's file is imported only when its corpus is read.

A reader is a module with the line `READER = "<kind>"` and `read(root, **options) -> (utterances, rejected)`; its
options are the parameters with a default. It may also have LAYOUT (a
sentence: what it looks for), `files(root, **options)` (the files it uses, where that is not the whole
folder), `features(root, modality, **options)` (an encoder, where the corpus comes as features instead of
media), `published(root, utterances, **options)` (the counts it should have, a list of `Published`) and
`findings(root, utterances, **options)` (what else is worth telling, a list of `Finding`).
"""

import inspect
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cmarr.corpora.expected import Finding, Published
from cmarr.corpora.inventory import inventory
from cmarr.errors import UserError, did_you_mean
from cmarr.plugins import READERS, module_of
from cmarr.utterance import Rejected, Utterance

_FUNCTIONS = ("read", "files", "features", "published", "findings")
_GENERATED = {"demo": ("seed", "sessions", "utterances")}
"""Options that the stage which generates a corpus takes, and its reader does not."""


def read_corpus(
    kind: str, root: str | Path, *, dataset: str, **options: Any
) -> tuple[list[Utterance], list[Rejected]]:
    """Read a corpus: utterances sorted by id, and what could not be used.

    `dataset` is the corpus' name in params.yaml, for messages. An utterance with neither media nor text
    is rejected. Raises UserError for an unknown kind or option, a root that does not exist, an id that
    appears twice, and a root in which nothing is found.
    """
    reader = _reader(kind, dataset)
    root = _root(root, dataset)
    utterances, rejected = _call(reader, "read", dataset, root, options)
    bare = [u.id for u in utterances if u.text is None and u.audio is None and u.video is None]
    reason = "it has no audio, no video and no text"
    rejected = [*rejected, *(Rejected(id, None, "prepare", reason) for id in bare)]
    usable = sorted((u for u in utterances if u.id not in set(bare)), key=lambda u: u.id)
    if not usable:
        layout = getattr(reader, "LAYOUT", "the layout of this corpus")
        first = f"; {len(rejected)} rejected, the first because {rejected[0].reason}" if rejected else ""
        raise UserError(
            f"datasets.{dataset}.root: {root} holds no usable utterance; expected: {layout}{first}"
        )
    for earlier, later in pairwise(usable):
        if earlier.id == later.id:
            raise UserError(f"datasets.{dataset}.root: {root} holds two utterances with the id {later.id}")
    return usable, sorted(rejected, key=lambda r: (r.id, r.modality or "", r.reason))


def corpus_features(kind: str, root: str | Path, modality: str, *, dataset: str, **options: Any) -> Any:
    """The encoder that hands out the features a corpus comes with, for one modality ('s', 'v', 't').

    Raises UserError where the corpus consists of media.
    """
    reader = _reader(kind, dataset)
    if not hasattr(reader, "features"):
        raise UserError(
            f"datasets.{dataset}.features: a corpus of kind {kind} brings no features; set 'encoders'"
        )
    root = _root(root, dataset)
    return _call(reader, "features", dataset, root, options, modality)


def corpus_inventory(kind: str, root: str | Path, *, dataset: str, **options: Any) -> dict[str, Any]:
    """Count and fingerprint the files of a corpus; see `inventory`."""
    reader = _reader(kind, dataset)
    root = _root(root, dataset)
    files = _call(reader, "files", dataset, root, options) if hasattr(reader, "files") else None
    return inventory(root, files)


def corpus_published(
    kind: str, root: str | Path, utterances: Sequence[Utterance], /, *, dataset: str, **options: Any
) -> list[Published]:
    """The counts that the corpus should have, as published; empty where nobody has published any."""
    return _extra("published", kind, root, utterances, dataset, options)


def corpus_findings(
    kind: str, root: str | Path, utterances: Sequence[Utterance], /, *, dataset: str, **options: Any
) -> list[Finding]:
    """What the reader has to tell of a corpus beside its utterances."""
    return _extra("findings", kind, root, utterances, dataset, options)


def _extra(
    function: str,
    kind: str,
    root: str | Path,
    utterances: Sequence[Utterance],
    dataset: str,
    options: dict[str, Any],
) -> list[Any]:
    reader = _reader(kind, dataset)
    if not hasattr(reader, function):
        return []
    found: list[Any] = _call(reader, function, dataset, _root(root, dataset), options, list(utterances))
    return found


def _reader(kind: str, dataset: str) -> ModuleType:
    return module_of(READERS, kind, f"datasets.{dataset}.kind")


def _root(root: str | Path, dataset: str) -> Path:
    if not str(root):
        raise UserError(f"datasets.{dataset}.root is empty; set it to the folder that holds the corpus")
    path = Path(root).expanduser().resolve()
    if not path.exists():
        raise UserError(f"datasets.{dataset}.root: {path} does not exist; set it to where the corpus lies")
    return path


def _call(
    reader: ModuleType, function: str, dataset: str, root: Path, options: dict[str, Any], *arguments: Any
) -> Any:
    """Call a reader's function with those of the options it takes; the others must suit another one."""
    takes = {name: _options(reader, name) for name in _FUNCTIONS}
    generated = next((o for kind, o in _GENERATED.items() if kind == reader.READER), ())
    known = sorted({*generated, *(option for options_of in takes.values() for option in options_of)})
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are: {', '.join(known) or 'none'}"
            raise UserError(f"datasets.{dataset}.options.{name}: this corpus has no such option{hint}")
    called = getattr(reader, function)
    annotations = {name: p.annotation for name, p in inspect.signature(called).parameters.items()}
    chosen = {
        name: _checked(f"datasets.{dataset}.options.{name}", annotations[name], value)
        for name, value in options.items()
        if name in takes[function]
    }
    return called(root, *arguments, **chosen)


def _checked(key: str, annotation: Any, value: Any) -> Any:
    """An option's value as what the reader's signature says it is."""
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise UserError(f"{key}: {message[0].lower()}{message[1:]}, not {value!r}") from None


def _options(reader: ModuleType, function: str) -> list[str]:
    if not hasattr(reader, function):
        return []
    parameters = inspect.signature(getattr(reader, function)).parameters.values()
    return [p.name for p in parameters if p.default is not p.empty]
