"""CREMA-D (Cao et al. 2014): twelve sentences acted by 91 actors, under the Open Database License.

Everything about a clip stands in its name, `1001_DFA_ANG_XX`: actor, sentence, emotion, level.
"""

import re
from collections import defaultdict
from pathlib import Path

from cmarr.corpora.expected import UTTERANCES, Published
from cmarr.corpora.inventory import corpus_files
from cmarr.utterance import Rejected, Utterance

READER = "crema_d"

LAYOUT = "clips named like AudioWAV/1001_DFA_ANG_XX.wav and VideoFlash/1001_DFA_ANG_XX.flv, in any folders"

EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
LEVELS = {"LO": 1.0, "MD": 2.0, "HI": 3.0, "XX": None, "X": None}  # one clip of the release is called ..._X
PUBLISHED = {UTTERANCES: 7442} | {name: 1087 if name == "neutral" else 1271 for name in EMOTIONS.values()}

# fmt: off
WOMEN = frozenset({
    1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1012, 1013, 1018, 1020, 1021, 1024, 1025, 1028, 1029, 1030,
    1037, 1043, 1046, 1047, 1049, 1052, 1053, 1054, 1055, 1056, 1058, 1060, 1061, 1063, 1072, 1073, 1074, 1075,
    1076, 1078, 1079, 1082, 1084, 1089, 1091,
})
# fmt: on
"""Actors given as female in the corpus' VideoDemographics.csv; the other 48 of 1001 ... 1091 are male."""

_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})", re.ASCII)
_AUDIO = (".wav", ".flac", ".mp3")
_VIDEO = (".mp4", ".avi", ".flv")


def read(root: Path) -> tuple[list[Utterance], list[Rejected]]:
    """Read every clip below `root`; one utterance a clip, whatever forms of it are there.

    Of several forms WAV and MP4 come first; a clip without an audio file takes the sound of its video.
    The rating `level` is 1 (low), 2 (medium) or 3 (high), where the name gives it. A file whose name is
    none of the corpus' is rejected.
    """
    forms: dict[str, dict[str, Path]] = defaultdict(dict)
    rejected = []
    for path in corpus_files(root, {*_AUDIO, *_VIDEO}):
        reason = _unofficial(path.stem)
        if reason:
            rejected.append(Rejected(path.stem, None, "prepare", f"{path.relative_to(root)}: {reason}"))
        else:
            forms[path.stem].setdefault(path.suffix.lower(), path)
    return [_utterance(clip, paths) for clip, paths in sorted(forms.items())], rejected


def published(root: Path, utterances: list[Utterance]) -> list[Published]:
    """The counts of the whole corpus."""
    return [Published("CREMA-D, all 91 actors", PUBLISHED, holds="st")]


def _unofficial(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    if not match:
        return "not a clip's name like 1001_DFA_ANG_XX"
    actor, sentence, emotion, level = match.groups()
    if not 1001 <= int(actor) <= 1091:
        return f"unknown actor {actor} in its name"
    known = ((sentence, SENTENCES, "sentence"), (emotion, EMOTIONS, "emotion"), (level, LEVELS, "level"))
    wrong = (f"unknown {what} {code} in its name" for code, codes, what in known if code not in codes)
    return next(wrong, None)


def _utterance(clip: str, paths: dict[str, Path]) -> Utterance:
    actor, sentence, emotion, level = clip.split("_")
    video = next((paths[s] for s in _VIDEO if s in paths), None)
    audio = next((paths[s] for s in _AUDIO if s in paths), video)
    strength = LEVELS[level]
    return Utterance(
        id=clip,
        text=SENTENCES[sentence],
        audio=str(audio) if audio else None,
        video=str(video) if video else None,
        label=EMOTIONS[emotion],
        speaker=actor,
        sex="f" if int(actor) in WOMEN else "m",
        ratings={} if strength is None else {"level": strength},
    )
