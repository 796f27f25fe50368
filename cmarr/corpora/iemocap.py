"""IEMOCAP (Busso et al. 2008): ten actors in five dyadic sessions, licensed by USC SAIL.

What is read, wherever it lies below the root:

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt          labels, ratings and times of all turns
    Session1/dialog/transcriptions/Ses01F_impro01.txt         words
    Session1/dialog/avi/DivX/Ses01F_impro01.avi               both actors side by side
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav
    Session1/sentences/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_F000.wdseg    times of the words
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmarr.corpora.expected import UNLABELLED, UTTERANCES, Published
from cmarr.corpora.inventory import corpus_files
from cmarr.corpora.text_files import finite_numbers, read_text
from cmarr.errors import Unreadable
from cmarr.utterance import Rejected, Utterance

READER = "iemocap"

LAYOUT = "Session1 ... Session5, each with dialog/EmoEvaluation/Ses01F_impro01.txt and its like"

LABELS = {
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "neu": "neutral",
    "sad": "sad",
    "fru": "frustrated",
    "sur": "surprised",
    "fea": "fearful",
    "dis": "disgust",
    "oth": "other",
    "xxx": None,  # the raters did not agree
}
PUBLISHED = {
    UTTERANCES: 10039,
    "angry": 1103,
    "happy": 595,
    "excited": 1041,
    "happy+excited": 1636,
    "neutral": 1708,
    "sad": 1084,
    "frustrated": 1849,
    "surprised": 107,
    "fearful": 40,
    "other": 3,
    "disgust": 2,
    UNLABELLED: 2507,
}
_OF_SESSIONS = ("angry", "happy+excited", "neutral", "sad")
_SESSIONS = {
    "Session1": (229, 278, 384, 194),
    "Session2": (137, 327, 362, 197),
    "Session3": (240, 286, 320, 305),
    "Session4": (327, 303, 258, 143),
    "Session5": (170, 442, 384, 245),
}

_DIALOGUE = re.compile(r"Ses(\d\d)([FM])_\w+", re.ASCII)
_TURN = re.compile(r"(Ses(\d\d)([FM])_\w+)_([FM])\d+", re.ASCII)
_NUMBER = r"\s*(\d+(?:\.\d*)?)\s*"
_LABEL = re.compile(rf"\[{_NUMBER}-{_NUMBER}\]\s+(\S+)\s+(\w+)\s+\[(.*)\]", re.ASCII)
_WORDS = re.compile(rf"(\S+)\s+\[{_NUMBER}-{_NUMBER}\]\s*:(.*)", re.ASCII)
_ALIGNED = re.compile(r"\s*(\d{1,7})\s+(\d{1,7})\s+-?\d+\s+(\S+)\s*", re.ASCII)
_RATINGS = ("valence", "arousal", "dominance")
_FRAME = 0.01
"""Seconds a frame of the forced alignment."""


@dataclass
class _Found:
    """Files by dialogue (labels, transcripts, videos) or by turn (sentences, alignments)."""

    labels: dict[str, Path] = field(default_factory=dict)
    transcripts: dict[str, Path] = field(default_factory=dict)
    videos: dict[str, Path] = field(default_factory=dict)
    sentences: dict[str, Path] = field(default_factory=dict)
    alignments: dict[str, Path] = field(default_factory=dict)


def read(root: Path) -> tuple[list[Utterance], list[Rejected]]:
    """Read every labelled turn; turns on which the raters did not agree (xxx) have no label.

    `audio` is the sentence, cut already; `video` the dialogue, with `start`, `end` and the half of the
    frame in which the speaker is: the actor who wears the markers, named in the dialogue's file name,
    sits left. Ratings are valence, arousal and dominance, 1 to 5, those given as NaN left out. A label
    line that cannot be understood is rejected; a turn without transcript, sentence or video lacks that
    modality.
    """
    found = _find(root)
    utterances: list[Utterance] = []
    rejected: list[Rejected] = []
    for dialogue, path in sorted(found.labels.items()):
        try:
            lines = read_text(path).split("\n")
            words = _transcript(found.transcripts.get(dialogue))
        except Unreadable as error:
            rejected.append(Rejected(dialogue, None, "prepare", str(error)))
            continue
        names_a_turn = re.compile(rf"{re.escape(dialogue)}_[FM]\w*\d", re.ASCII)
        for number, line in enumerate(lines, 1):
            if not line.lstrip().startswith("[") and not names_a_turn.search(line):
                continue  # the header, a rater's line, a blank one
            turn = _turn(dialogue, line, words, found)
            if isinstance(turn, str):
                id = next(iter(re.findall(rf"{re.escape(dialogue)}_\w+", line)), f"{dialogue} line {number}")
                where = f"{path.relative_to(root)}, line {number}"
                rejected.append(Rejected(id, None, "prepare", f"{where}: {turn}"))
            else:
                utterances.append(turn)
    return utterances, rejected


def files(root: Path) -> list[Path]:
    """The label files, transcripts, sentences, videos and alignments."""
    found = _find(root)
    kinds = (found.labels, found.transcripts, found.videos, found.sentences, found.alignments)
    return [path for kind in kinds for path in kind.values()]


def published(root: Path, utterances: list[Utterance]) -> list[Published]:
    """The counts of the full release, and those of the four-class task by session."""
    groups = {s: dict(zip(_OF_SESSIONS, counts, strict=True)) for s, counts in _SESSIONS.items()}
    return [Published("IEMOCAP, all turns of 151 dialogues", PUBLISHED, "session", groups, "svt")]


def who(turn: str) -> dict[str, Any]:
    """Speaker, sex, session and dialogue, as the name of a turn says them; {} for another name."""
    match = _TURN.fullmatch(turn)
    if not match:
        return {}
    dialogue, session, _, speaker = match.groups()
    return {
        "speaker": f"Ses{session}{speaker}",
        "sex": speaker.lower(),
        "session": f"Session{int(session)}",
        "dialogue": dialogue,
    }


def _find(root: Path) -> _Found:
    found = _Found()
    for path in corpus_files(root, {".txt", ".avi", ".mp4", ".wav", ".wdseg"}):
        suffix, folder, stem = path.suffix.lower(), path.parent.name.lower(), path.stem
        if suffix == ".txt" and _DIALOGUE.fullmatch(stem):
            if folder == "emoevaluation":  # below it lie the single raters' files
                found.labels.setdefault(stem, path)
            elif folder.startswith("transcript"):
                found.transcripts.setdefault(stem, path)
        elif suffix in (".avi", ".mp4") and _DIALOGUE.fullmatch(stem):
            found.videos.setdefault(stem, path)
        elif suffix == ".wav" and _TURN.fullmatch(stem):
            found.sentences.setdefault(stem, path)
        elif suffix == ".wdseg" and _TURN.fullmatch(stem):
            found.alignments.setdefault(stem, path)
    return found


def _transcript(path: Path | None) -> dict[str, str]:
    """Words by turn; lines without a turn's name and times are remarks."""
    if path is None:
        return {}
    matches = (_WORDS.fullmatch(line.strip()) for line in read_text(path).split("\n"))
    return {match[1]: match[4].strip() for match in matches if match}


def _turn(dialogue: str, line: str, words: dict[str, str], found: _Found) -> Utterance | str:
    """The utterance of a label line, or what is wrong with the line."""
    match = _LABEL.match(line.strip())
    if not match:
        return f"not a label line like '[6.2901 - 8.2357] {dialogue}_F000 neu [2.5, 2.5, 2.5]'"
    start, end, id, label = float(match[1]), float(match[2]), match[3], match[4]
    name = _TURN.fullmatch(id)
    if not name or name[1] != dialogue:
        return f"{id} is no turn of {dialogue}"
    if label not in LABELS:
        return f"unknown label {label!r}; there are {', '.join(LABELS)}"
    if not start < end < math.inf:
        return f"the turn starts at {start:g} s and ends at {end:g} s"
    _, _, wearer, speaker = name.groups()
    video, audio = found.videos.get(dialogue), found.sentences.get(id)
    return Utterance(
        id=id,
        text=words.get(id) or None,
        audio=str(audio) if audio else None,
        video=str(video) if video else None,
        label=LABELS[label],
        start=start,
        end=end,
        crop="left" if speaker == wearer else "right",
        ratings=finite_numbers(zip(_RATINGS, match[5].split(","), strict=False)),
        words=_aligned(found.alignments.get(id)),
        audio_whole=True,
        **who(id),
    )


def _aligned(path: Path | None) -> tuple[tuple[str, float, float], ...]:
    """Times of the words; silences, breaths and laughter, which are marked <...> or ++...++, left out."""
    if path is None:
        return ()
    try:
        lines = read_text(path).split("\n")
    except Unreadable:  # word times are an extra
        return ()
    words = []
    for match in filter(None, map(_ALIGNED.fullmatch, lines)):
        first, last, word = int(match[1]), int(match[2]), re.sub(r"\(\d+\)$", "", match[3])
        if first <= last and not word.startswith(("<", "++")):
            words.append((word.lower(), round(first * _FRAME, 2), round((last + 1) * _FRAME, 2)))
    return tuple(words)
