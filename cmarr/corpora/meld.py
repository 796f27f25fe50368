"""MELD (Poria et al. 2019): scenes of a television series, with an official split.

`train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv`, and clips `dia3_utt7.mp4` in a folder
whose name says the part (train_splits, dev_splits_complete, output_repeated_splits_test).
"""

import re
from pathlib import Path

from cmarr.corpora.expected import UTTERANCES, Published
from cmarr.corpora.inventory import corpus_files
from cmarr.corpora.text_files import read_table
from cmarr.errors import UserError
from cmarr.utterance import Rejected, Utterance

READER = "meld"

LAYOUT = (
    "train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, and clips like train_splits/dia0_utt0.mp4"
)

EMOTIONS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprised",
}
SENTIMENTS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
PARTS = {"train": "train", "dev": "valid", "test": "test"}
_ORDER = (UTTERANCES, "angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
_SPLITS = {
    "train": (9989, 1109, 271, 268, 1743, 4710, 683, 1205),
    "valid": (1109, 153, 22, 40, 163, 470, 111, 150),
    "test": (2610, 345, 68, 50, 402, 1256, 208, 281),
}

_CLIP = re.compile(r"dia(\d{1,6})_utt(\d{1,6})", re.ASCII)
_TIME = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?", re.ASCII)
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_TIMES = ("StartTime", "EndTime")
_AUDIO, _VIDEO = (".wav", ".flac", ".mp3"), (".mp4", ".avi", ".mkv")


def read(root: Path) -> tuple[list[Utterance], list[Rejected]]:
    """Read the rows of the tables; ids are like train_dia0_utt0.

    A clip's sound is its audio, unless there is an audio file of that name; a row without a clip has
    text alone. The rating `sentiment` is -1, 0 or 1, `seconds` is how long the table says that it lasts. Speakers
    recur in all parts. A row that cannot be understood is rejected; raises UserError where there is no table, or one
    lacks a column.
    """
    tables = {p.name[: p.name.index("_")].lower(): p for p in reversed(_tables(root))}
    if not tables:
        raise UserError(f"{root} holds none of train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv")
    clips = _clips(root)
    utterances: list[Utterance] = []
    rejected: list[Rejected] = []
    for part, path in sorted(tables.items()):
        for line, row in read_table(path, _COLUMNS):
            utterance = _utterance(
                part, {column: row.get(column, "").strip() for column in (*_COLUMNS, *_TIMES)}, clips
            )
            if isinstance(utterance, str):
                where = f"{path.name}, line {line}"
                rejected.append(Rejected(f"{part} line {line}", None, "prepare", f"{where}: {utterance}"))
            else:
                utterances.append(utterance)
    return utterances, rejected


def files(root: Path) -> list[Path]:
    """The tables and the clips."""
    return [*_tables(root), *_clips(root).values()]


def published(root: Path, utterances: list[Utterance]) -> list[Published]:
    """The counts of the three parts."""
    groups = {part: dict(zip(_ORDER, counts, strict=True)) for part, counts in _SPLITS.items()}
    whole = {key: sum(group[key] for group in groups.values()) for key in _ORDER}
    return [Published("MELD, all three parts", whole, "split", groups, "svt")]


def _tables(root: Path) -> list[Path]:
    names = {f"{part}_sent_emo.csv" for part in PARTS}
    return [p for p in corpus_files(root, {".csv"}) if p.name.lower() in names]


def _clips(root: Path) -> dict[tuple[str, str, str], Path]:
    """Files by part, 'dia0_utt0' and suffix; a clip in a folder that names no part is nobody's."""
    clips: dict[tuple[str, str, str], Path] = {}
    for path in corpus_files(root, {*_AUDIO, *_VIDEO}):
        match = _CLIP.fullmatch(path.stem.lower())
        folders = [name.lower() for name in reversed(path.parent.relative_to(root).parts)]
        part = next((p for name in folders for p in PARTS if p in name), None)
        if match and part:
            name = f"dia{int(match[1])}_utt{int(match[2])}"
            clips.setdefault((part, name, path.suffix.lower()), path)
    return clips


def _utterance(part: str, row: dict[str, str], clips: dict[tuple[str, str, str], Path]) -> Utterance | str:
    """The utterance of a row, or what is wrong with it."""
    match = _CLIP.fullmatch(f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}")
    if not match:
        return f"Dialogue_ID {row['Dialogue_ID']!r} and Utterance_ID {row['Utterance_ID']!r} are no numbers"
    dialogue, name = f"dia{int(match[1])}", f"dia{int(match[1])}_utt{int(match[2])}"
    emotion, sentiment = row["Emotion"].lower(), SENTIMENTS.get(row["Sentiment"].lower())
    if emotion not in EMOTIONS:
        return f"unknown emotion {row['Emotion']!r}; there are {', '.join(EMOTIONS)}"
    video = next((clips[part, name, s] for s in _VIDEO if (part, name, s) in clips), None)
    audio = next((clips[part, name, s] for s in _AUDIO if (part, name, s) in clips), video)
    return Utterance(
        id=f"{part}_{name}",
        text=row["Utterance"] or None,
        audio=str(audio) if audio else None,
        video=str(video) if video else None,
        label=EMOTIONS[emotion],
        speaker=row["Speaker"] or None,
        dialogue=f"{part}_{dialogue}",
        split=PARTS[part],
        ratings=({} if sentiment is None else {"sentiment": sentiment}) | _lasting(row),
    )


def _lasting(row: dict[str, str]) -> dict[str, float]:
    """From `StartTime` to `EndTime`, in seconds of the episode, where the row has them and they can be."""
    begin, end = (_TIME.fullmatch(row[column]) for column in _TIMES)
    if not begin or not end:
        return {}
    lasting = _seconds(end) - _seconds(begin)
    return {"seconds": round(lasting, 3)} if lasting > 0 else {}


def _seconds(time: re.Match[str]) -> float:
    hours, minutes, seconds, fraction = time.groups()
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction or 0}")
