"""Which corpora there are. A reader's file is imported only when its corpus is read.

A reader is a module with the line `READER = "<kind>"` and `read(root) -> (utterances, rejected)`. It may also have
LAYOUT (a sentence: what it looks for), `files(root)` (the files it uses, where that is not the whole folder),
`features(root, modality)` (an encoder, where the corpus comes as features instead of media),
`published(root, utterances)` (the counts it should have, a list of `Published`), `findings(root, utterances)` (what
else is worth telling, a list of `Finding`), and `Options`, a `Section` that declares the options of a dataset; any of
these functions that has a parameter `options` is given it.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from pydantic import ValidationError

from cmarr.budgets import expanded
from cmarr.corpora.expected import Finding, Published
from cmarr.corpora.inventory import corpus_files, inventory
from cmarr.corpora.text_files import guessed_encoding
from cmarr.declaration import Section
from cmarr.errors import UserError, did_you_mean
from cmarr.objects import absence, absolute
from cmarr.plugins import READERS, module_of
from cmarr.utterance import Rejected, Utterance, holds_half, readable


def read_corpus(
    kind: str, root: str | Path, *, dataset: str, **options: Any
) -> tuple[list[Utterance], list[Rejected]]:
    """Read a corpus: utterances sorted by id, and what could not be used. All text is made `readable`.

    `dataset` is the corpus' name in params.yaml, for messages. An utterance with neither media nor text
    is rejected. Raises UserError for an unknown kind or option, a root that does not exist, an id that
    appears twice, and a root in which nothing is found.
    """
    utterances, rejected = _call(kind, "read", dataset, root, options)
    root = _root(root, dataset)
    usable, rejected = [], [replace(r, id=readable(r.id), reason=readable(r.reason)) for r in rejected]
    for u in utterances:
        if reason := _unusable(u):
            rejected.append(Rejected(readable(u.id), None, "prepare", reason))
        else:
            usable.append(_readable(u))
    usable.sort(key=lambda u: u.id)
    if not usable:
        layout = getattr(_reader(kind, dataset), "LAYOUT", "the layout of this corpus")
        first = f"; {len(rejected)} rejected, the first because {rejected[0].reason}" if rejected else ""
        raise UserError(
            f"datasets.{dataset}.root: {root} holds no usable utterance; expected: {layout}{first}"
        )
    for earlier, later in pairwise(usable):
        if earlier.id == later.id:
            raise UserError(f"datasets.{dataset}.root: {root} holds two utterances with the id {later.id}")
    return usable, sorted(rejected, key=lambda r: (r.id, r.modality or "", r.reason))


_WORDED = ("text", "label", "speaker", "session", "dialogue")


def _readable(utterance: Utterance) -> Utterance:
    """The utterance with nothing in its texts that a file cannot hold, or a reader cannot see."""
    found = {name: getattr(utterance, name) for name in _WORDED}
    cleaned: dict[str, Any] = {name: readable(value) for name, value in found.items() if value is not None}
    words = tuple((readable(word), begin, end) for word, begin, end in utterance.words)
    return replace(utterance, **cleaned, words=words)


def _unusable(utterance: Utterance) -> str | None:
    """Why a manifest cannot hold an utterance, if anything."""
    if holds_half(utterance.id):
        return "its id holds half a character; give it another one"
    if utterance.text is None and utterance.audio is None and utterance.video is None:
        return "it has no audio, no video and no text"
    for path in (utterance.audio, utterance.video):
        if path is not None and holds_half(path):
            return f"the name of {readable(path)} holds bytes that are no UTF-8; rename the file"
    return None


def corpus_features(kind: str, root: str | Path, modality: str, *, dataset: str, **options: Any) -> Any:
    """The encoder that hands out the features a corpus comes with, for one modality ('s', 'v', 't').

    Raises UserError where the corpus consists of media.
    """
    if not hasattr(_reader(kind, dataset), "features"):
        raise UserError(
            f"datasets.{dataset}.features: a corpus of kind {kind} brings no features; set 'encoders'"
        )
    return _call(kind, "features", dataset, root, options, modality)


def corpus_inventory(kind: str, root: str | Path, *, dataset: str, **options: Any) -> dict[str, Any]:
    """Count and fingerprint the files of a corpus; see `inventory`."""
    files = _call(kind, "files", dataset, root, options)
    return inventory(_root(root, dataset), files)


def corpus_published(
    kind: str, root: str | Path, utterances: Sequence[Utterance], /, *, dataset: str, **options: Any
) -> list[Published]:
    """The counts that the corpus should have, as published; empty where nobody has published any."""
    return _call(kind, "published", dataset, root, options, list(utterances)) or []


def corpus_findings(
    kind: str, root: str | Path, utterances: Sequence[Utterance], /, *, dataset: str, **options: Any
) -> list[Finding]:
    """What there is to tell of a corpus beside its utterances: by its reader, and of encodings that were guessed."""
    found: list[Finding] = _call(kind, "findings", dataset, root, options, list(utterances)) or []
    used = _call(kind, "files", dataset, root, options) or corpus_files(_root(root, dataset))
    guesses = {path.name: guess for path in used if (guess := guessed_encoding(path))}
    if guesses:
        name, guess = next(iter(guesses.items()))
        several = f"{len(guesses)} files are not UTF-8, as {name}: they were"
        what = several if len(guesses) > 1 else f"{name} is not UTF-8; it was"
        found.append(
            Finding("warning", f"{what} read as {guess}, a guess", "save as UTF-8, lest letters are wrong")
        )
    return found


def _reader(kind: str, dataset: str) -> ModuleType:
    return module_of(READERS, kind, f"datasets.{dataset}.kind")


def _root(root: str | Path, dataset: str) -> Path:
    if not str(root):
        raise UserError(f"datasets.{dataset}.root is empty; set it to the folder that holds the corpus")
    try:
        path = absolute(expanded(root))
    except UserError as error:
        raise UserError(f"datasets.{dataset}.root: {error}") from None
    if not path.exists():
        raise UserError(f"datasets.{dataset}.root: {path} {absence(path)}; set it to where the corpus lies")
    return path


def reader_options(kind: str, dataset: str, options: Mapping[str, Any]) -> Section:
    """The options of a dataset as its reader declares them. Raises UserError for what they do not allow."""
    declared: type[Section] = getattr(_reader(kind, dataset), "Options", Section)
    known = declared.model_fields
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are: {', '.join(sorted(known)) or 'none'}"
            raise UserError(f"datasets.{dataset}.options.{name}: this corpus has no such option{hint}")
    try:
        return declared.model_validate(options)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, (f"datasets.{dataset}.options", *problem["loc"])))
        message, value = problem["msg"].removeprefix("Value error, "), problem["input"]
        expected: Any = (
            known[str(problem["loc"][0])].annotation if problem["type"] == "literal_error" else None
        )
        hint = did_you_mean(str(value), map(str, get_args(expected)))
        raise UserError(f"{key}: {message[0].lower()}{message[1:]}, not {value!r}{hint}") from None


def _call(
    kind: str, function: str, dataset: str, root: str | Path, options: Mapping[str, Any], *arguments: Any
) -> Any:
    """Call a reader's function, with its options where it takes them; None where the reader has no such function."""
    called = getattr(_reader(kind, dataset), function, None)
    path, checked = _root(root, dataset), reader_options(kind, dataset, options)
    if called is None:
        return None
    takes = "options" in inspect.signature(called).parameters
    return called(path, *arguments, **{"options": checked} if takes else {})
