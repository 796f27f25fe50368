"""CMU-MOSI (Zadeh et al. 2016) and CMU-MOSEI (Zadeh et al. 2018) as recordings, not as features.

Transcripts name the utterances:

    MOSI    Transcript/Segmented/<video>.annotprocessed         lines `3_DELIM_text`
    MOSEI   Transcript/Segmented/Combined/<video>.txt           lines `<video>___3___1.5___4.2___text`

Recordings are found by name: of one utterance (`<video>_3.mp4`, or `3.mp4` in a folder `<video>`), else of
the whole video (`<video>.mp4`, for MOSEI, whose transcripts give times). Scores and the official split
come from a table or a pickle in the MMSA layout that lies beside them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cmarr.corpora import mmsa
from cmarr.corpora.expected import Published
from cmarr.corpora.inventory import chosen_file, corpus_files
from cmarr.corpora.labels import sentiment
from cmarr.corpora.text_files import read_table, read_text
from cmarr.declaration import Section, setting
from cmarr.errors import Unreadable, UserError
from cmarr.utterance import Rejected, Utterance

READER = "cmu"

LAYOUT = (
    "Transcript/Segmented/<video>.annotprocessed (MOSI) or Transcript/Segmented/Combined/<video>.txt (MOSEI), "
    "recordings named after the videos, and label.csv or an MMSA pickle with the scores"
)

_MOSI = re.compile(r"(\d{1,6})_DELIM_(.*)", re.ASCII)
_AUDIO, _VIDEO = (".wav", ".flac", ".mp3"), (".mp4", ".avi", ".mkv", ".webm")
_SPLITS = {"train": "train", "valid": "valid", "dev": "valid", "test": "test"}

Key = tuple[str, int]
"""Video and number of the clip."""


@dataclass(frozen=True)
class _Line:
    text: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class _Label:
    score: float
    split: str | None
    text: str | None


class Options(Section):
    """Where the scores of CMU-MOSI's or CMU-MOSEI's recordings stand."""

    labels: str | None = setting(
        None, "label.csv or MMSA pickle with the scores, where the root holds several"
    )


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """Read the utterances of the transcripts; ids as in the MMSA pickles, '<video>$_$<clip>'.

    The labels are a table (video_id, clip_id, text, label, mode) or the pickle with scores and split; their text
    stands in for transcripts that are not there. `score` is the sentiment, -3 to 3, `label` its sign. A line without
    a score, or one that cannot be understood, is rejected; so is a score without any text.
    """
    scores, unscored = _labels(_label_file(root, options))
    recordings = _recordings(root)
    utterances: list[Utterance] = []
    rejected = [Rejected(id, None, "prepare", reason) for id, reason in unscored]
    without = {id for id, _ in unscored}
    spoken: set[Key] = set()
    for path in _transcripts(root):
        lines, broken = _lines(path)
        rejected += [Rejected(f"{path.stem} line {n}", None, "prepare", reason) for n, reason in broken]
        for number, line in lines.items():
            key = (path.stem, number)
            if key in spoken:  # a copy of the transcript in another folder
                continue
            spoken.add(key)
            if key not in scores and _id(key) not in without:
                reason = "it has no score in the labels"
                rejected.append(Rejected(_id(key), None, "prepare", reason))
            elif key in scores:
                utterances.append(_utterance(key, line, scores[key], recordings))
    for key in sorted(set(scores) - spoken):
        if (text := scores[key].text) is None:
            rejected.append(
                Rejected(_id(key), None, "prepare", "it has a score, but no line in a transcript")
            )
        else:
            utterances.append(_utterance(key, _Line(text), scores[key], recordings))
    return utterances, rejected


def files(root: Path, options: Options) -> list[Path]:
    """The labels, the transcripts and the recordings."""
    return [_label_file(root, options), *_transcripts(root), *_recordings(root).values()]


def published(root: Path, utterances: list[Utterance]) -> list[Published]:
    """The sizes of the official split of the corpus whose transcripts these are."""
    timed = any(path.suffix.lower() == ".txt" for path in _transcripts(root))
    return [mmsa.published_sizes("CMU-MOSEI" if timed else "CMU-MOSI", "svt")]


def _id(key: Key) -> str:
    return f"{key[0]}$_${key[1]}"


def _label_file(root: Path, options: Options) -> Path:
    tables = [p for p in corpus_files(root, {".csv"}) if p.name.lower() in ("label.csv", "labels.csv")]
    found = tables or corpus_files(root, {".pkl", ".pickle"})
    return chosen_file(
        root, "labels", options.labels, found, "files with scores", "label.csv or an MMSA pickle"
    )


def _labels(path: Path) -> tuple[dict[Key, _Label], list[tuple[str, str]]]:
    """Scores by clip, and (id, reason) of what has none that can be used."""
    if path.suffix.lower() == ".csv":
        return _table(path)
    found, unusable = {}, []
    utterances, rejected = mmsa.read(path, mmsa.Options())
    for utterance in utterances:
        video, _, clip = utterance.id.partition("$_$")
        if re.fullmatch(r"\d{1,6}", clip, re.ASCII) and utterance.score is not None:
            found[video, int(clip)] = _Label(utterance.score, utterance.split, utterance.text)
        else:
            unusable.append((utterance.id, f"its id in {path.name} is not <video>$_$<number>"))
    return found, [*unusable, *((r.id, r.reason) for r in rejected)]


def _table(path: Path) -> tuple[dict[Key, _Label], list[tuple[str, str]]]:
    found: dict[Key, _Label] = {}
    unusable = []
    columns = ("video_id", "clip_id", "label")
    for line, row in read_table(path, columns, "expected the labels of MMSA; fetch the table again"):
        try:
            key, score = (row["video_id"], int(row["clip_id"])), float(row["label"])
            split = _SPLITS[row["mode"].lower()] if row.get("mode") else None
        except (ValueError, KeyError) as error:
            raise UserError(f"{path}, line {line}: {error} is no number or no split") from error
        label = _Label(score, split, row.get("text"))
        if not math.isfinite(score):
            unusable.append((_id(key), f"{path.name}, line {line}: its score is {score}"))
        elif found.setdefault(key, label) != label:
            raise UserError(f"{path}, line {line}: {_id(key)} has another score or text above; leave one")
    return found, unusable


def _transcripts(root: Path) -> list[Path]:
    found = corpus_files(root, {".annotprocessed", ".txt"})
    mosei = [p for p in found if p.suffix.lower() == ".txt" and "segmented" in str(p.parent).lower()]
    return [p for p in found if p.suffix.lower() == ".annotprocessed"] or mosei


def _lines(path: Path) -> tuple[dict[int, _Line], list[tuple[int, str]]]:
    """The lines of a transcript by clip, and (line, reason) of those that cannot be understood."""
    lines: dict[int, _Line] = {}
    broken = []
    try:
        content = read_text(path).split("\n")
    except Unreadable as error:
        return {}, [(1, str(error))]
    for number, raw in enumerate(content, 1):
        if not raw.strip():
            continue
        parts = raw.split("___", 4)
        if match := _MOSI.fullmatch(raw.strip()):
            clip, line = int(match[1]), _Line(match[2].strip())
        elif len(parts) == 5 and (timed := _timed(parts)):
            clip, line = timed
        else:
            broken.append((number, f"{path.name}, line {number}: neither '3_DELIM_text' nor "
                           "'<video>___3___<start>___<end>___text'"))  # fmt: skip
            continue
        if lines.setdefault(clip, line) != line:
            broken.append((number, f"{path.name}, line {number}: another line has the clip {clip}, too"))
    return lines, broken


def _timed(parts: list[str]) -> tuple[int, _Line] | None:
    try:
        clip, start, end = int(parts[1]), float(parts[2]), float(parts[3])
    except ValueError:
        return None
    start = max(start, 0.0)  # intervals of the SDK may begin a little before the video
    return (clip, _Line(parts[4].strip(), start, end)) if start < end < math.inf and clip >= 0 else None


def _recordings(root: Path) -> dict[tuple[str, str], Path]:
    """Media by name and suffix; a file `3.mp4` in a folder `<video>` goes by `<video>_3` too."""
    found: dict[tuple[str, str], Path] = {}
    for path in corpus_files(root, {*_AUDIO, *_VIDEO}):
        suffix = path.suffix.lower()
        found.setdefault((path.stem, suffix), path)
        if re.fullmatch(r"\d{1,6}", path.stem, re.ASCII):  # a clip; or a video, some of which are named so
            found.setdefault((f"{path.parent.name}_{int(path.stem)}", suffix), path)
    return found


def _utterance(key: Key, line: _Line, label: _Label, recordings: Mapping[tuple[str, str], Path]) -> Utterance:
    def recorded(name: str, suffixes: tuple[str, ...]) -> Path | None:
        return next((recordings[name, s] for s in suffixes if (name, s) in recordings), None)

    video, clip = key
    whole_video, whole_audio = (recorded(video, s) if line.end else None for s in (_VIDEO, _AUDIO))
    film, sound = (recorded(f"{video}_{clip}", s) for s in (_VIDEO, _AUDIO))
    timed = film is None and whole_video is not None
    cut = sound is not None or film is not None  # the audio holds this utterance alone
    audio = sound or film or whole_audio or whole_video
    film = film or whole_video
    placed = timed or (audio is not None and not cut)
    return Utterance(
        id=_id(key),
        text=line.text or None,
        audio=str(audio) if audio else None,
        video=str(film) if film else None,
        label=sentiment(label.score),
        score=label.score,
        dialogue=video,
        start=line.start if placed else None,
        end=line.end if placed else None,
        split=label.split,
        audio_whole=placed and cut,
    )
