"""What an encoder reads, as a short digest: decides whether a shard made earlier is still right."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cmarr.files import digest
from cmarr.utterance import Utterance

ENDS = 1 << 20
"""Bytes read at each end of a file. Whole reads would double the traffic of a large corpus."""


def product_version() -> str:
    """Version of this package, as written into shards."""
    try:
        return version("cmarr")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def source(utterance: Utterance, modality: str) -> str | None:
    """The path (speech, video) or the text that an utterance has in a modality, if any."""
    return utterance.source(modality)


class Inputs:
    """What an encoder reads of some utterances in one modality.

    A digest covers what an encoder may use of the utterance: its text, or its place in the file and the
    file's size, first and last megabyte. File names, folders and times of change stay out, so that a
    copy of the corpus elsewhere gives the same shards. What damages the recording on its way counts, too.
    Each file is read once. `root`, unless given, is the folder that holds all files, directly or further down.
    """

    def __init__(self, utterances: Sequence[Utterance], modality: str, root: str | None = None):
        self.modality = modality
        paths = {} if modality == "t" else {u.id: path for u in utterances if (path := source(u, modality))}
        self.root = _common_folder(paths.values()) if root is None else root
        self._paths = paths
        self._digest_of = cache(_file_digest)

    def name(self, id: str) -> str:
        """The path of an utterance's file below `root`; its id where there is none."""
        return str(Path(self._paths[id]).relative_to(self.root)) if id in self._paths else id

    def localised(self, id: str, reason: str) -> str:
        """A reason that names the file relative to `root`: the same wherever the corpus lies."""
        return reason.replace(self._paths[id], self.name(id)) if id in self._paths else reason

    def digest(self, utterances: Iterable[Utterance]) -> str:
        """One digest (hex) over the inputs of some utterances, in their order."""
        return digest([self._one(utterance) for utterance in utterances])

    def _one(self, utterance: Utterance) -> list[object]:
        path = self._paths.get(utterance.id)
        if path is None:
            return [utterance.id, utterance.text]
        crop = utterance.crop if self.modality == "v" else None
        damage = [] if utterance.damage is None else [str(utterance.damage)]
        return [utterance.id, self._digest_of(path), *utterance.span(self.modality), crop, *damage]


def _common_folder(paths: Iterable[str]) -> str:
    folders = {str(Path(path).parent) for path in paths}
    try:
        return os.path.commonpath(folders)
    except ValueError:  # no file at all, or absolute and relative paths
        return ""


def _file_digest(path: str) -> str:
    try:
        with Path(path).open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            read = hashlib.sha256(opened.read(ENDS))
            opened.seek(max(size - ENDS, 0))
            read.update(opened.read(ENDS))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return f"{size} {read.hexdigest()}"
