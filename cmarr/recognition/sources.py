"""The clips that paths name: media files, folders of them, manifests."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from cmarr.corpora.clips import read as read_manifest
from cmarr.corpora.inventory import corpus_files
from cmarr.errors import UserError
from cmarr.recognition.answer import Refusal
from cmarr.recognition.inputs import (
    AUDIO,
    TEXTS,
    VIDEO,
    Given,
    beside,
    media_of,
    shown,
    sidecar,
    with_transcript,
)
from cmarr.utterance import Utterance

TABLES = (".csv", ".parquet")
OUTSIDE = "is a link that leads out of its folder; allow that with --allow-outside"


def find_clips(
    paths: Iterable[str | Path],
    *,
    text: str | None = None,
    transcript: str | Path | None = None,
    allow_outside: bool = False,
) -> list[Given | Refusal]:
    """The clips that some paths name, and what is refused of them before it is opened, in the order found.

    A media file is one clip; so is a text file. A folder gives one clip for each name below it that sound,
    video or text files share. A CSV or Parquet file is a manifest as for a corpus of one's own. `text`, or
    the text of the file `transcript`, belongs to the one clip there is. A transcript beside a media file,
    under the same name, is found; one that cannot be read costs the clip its text alone, and the clip says so.
    What a folder or manifest names outside itself, by a link or a path, is refused unless `allow_outside`.

    Raises UserError for a path that does not exist, for a text where there are several clips, and for a
    `transcript` that cannot be read.
    """
    clips: list[Given | Refusal] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{shown(path)} does not exist")
        if path.is_dir():
            clips += _folder(path, allow_outside)
        elif path.suffix.lower() in TABLES:
            clips += _manifest(path, allow_outside)
        else:
            clips.append(_file(path, allow_outside))
    if text is None and transcript is None:
        return clips
    if len(clips) > 1:
        raise UserError(
            f"there are {len(clips)} clips and one text; put the texts beside them (.txt, .srt), or into a manifest"
        )
    clip: Given | Refusal = clips[0] if clips else Given(Utterance("text"))
    if isinstance(clip, Refusal):
        return [clip]
    utterance = clip.utterance
    if transcript is not None:
        utterance = with_transcript(utterance, Path(transcript))
    if text is not None:
        utterance = replace(utterance, text=text, words=())
    return [Given(utterance)]


def _file(path: Path, allow_outside: bool) -> Given:
    name = shown(path)
    if path.suffix.lower() in TEXTS:
        return beside(Utterance(name), path)
    audio, video = media_of(path)
    utterance = Utterance(name, audio=audio, video=video)
    said = sidecar(path)
    if said is None:
        return Given(utterance)
    if not (allow_outside or _inside(said, path.parent)):
        return Given(utterance, unread={"t": f"{shown(said)} {OUTSIDE}"})
    return beside(utterance, said)


def _folder(folder: Path, allow_outside: bool) -> Iterator[Given | Refusal]:
    groups: dict[str, dict[str, Path]] = {}
    files = corpus_files(folder, {*AUDIO, *VIDEO, *TEXTS})
    for path in files:
        kind = next(k for k, endings in _KINDS.items() if path.suffix.lower() in endings)
        stem = os.path.relpath(path, folder).removesuffix(path.suffix)
        if not allow_outside and not _inside(path, folder):
            yield Refusal(shown(path), f"it {OUTSIDE}")
            continue
        groups.setdefault(stem, {}).setdefault(kind, path)
    if not files:
        endings = " ".join((*AUDIO, *VIDEO, *TEXTS))
        yield Refusal(shown(folder), f"it holds no media and no text ({endings})")
    for stem, found in sorted(groups.items()):
        video = found.get("video")
        audio = found.get("audio", video)
        utterance = Utterance(
            shown(stem), audio=str(audio) if audio else None, video=str(video) if video else None
        )
        text = found.get("captions", found.get("text"))
        yield beside(utterance, text) if text else Given(utterance)


_KINDS = {"audio": AUDIO, "video": VIDEO, "text": (".txt",), "captions": (".srt", ".vtt")}


def _manifest(path: Path, allow_outside: bool) -> Iterator[Given | Refusal]:
    utterances, rejected = read_manifest(path, allow_outside=allow_outside)
    for utterance in utterances:
        yield Given(replace(utterance, id=shown(utterance.id)))
    for refused in rejected:
        yield Refusal(shown(refused.id), refused.reason)


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
