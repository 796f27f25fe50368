"""RAVDESS (Livingstone and Russo 2018): acted speech of 24 actors, as audio and as video.

Everything about a clip stands in its name, `03-01-05-02-01-01-12`: form (01 audio and video, 02 video,
03 audio), channel (01 speech, 02 song), emotion, intensity, statement, repetition, actor.
"""

import filecmp
import re
from collections import defaultdict
from pathlib import Path
from typing import Literal

from cmarr.corpora.expected import UTTERANCES, Published
from cmarr.corpora.inventory import corpus_files
from cmarr.declaration import Flag, Section, setting
from cmarr.errors import UserError
from cmarr.utterance import Rejected, Utterance

READER = "ravdess"

LAYOUT = "clips named like Actor_12/03-01-05-02-01-01-12.wav (or .flac, .mp4), in any folders below it"

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
PUBLISHED = {name: 96 if name == "neutral" else 192 for name in EMOTIONS.values()}
"""Speech clips per emotion in the published corpus."""

AUDIO_VIDEO, VIDEO, AUDIO = "01", "02", "03"
_SUFFIXES = {AUDIO_VIDEO: {".mp4"}, VIDEO: {".mp4"}, AUDIO: {".wav", ".flac"}}
_NAME = re.compile(r"\d\d(-\d\d){6}")
_ALLOWED = {
    "form": set(_SUFFIXES),
    "channel": {"01", "02"},
    "emotion": set(EMOTIONS),
    "intensity": {"01", "02"},
    "statement": set(STATEMENTS),
    "repetition": {"01", "02"},
    "actor": {f"{n:02d}" for n in range(1, 25)},
}


class Options(Section):
    """Which clips of RAVDESS are taken."""

    song: Flag = setting(False, "true = the sung clips too")
    sex: Literal["any", "female", "male"] = setting("any", "whose clips")


SEXES = {"any": (0, 1), "female": (0,), "male": (1,)}
"""Option -> remainders of the actors' numbers by two: women have the even ones."""


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """Read every clip below `root`; one utterance a clip, whatever forms of it are there.

    The id is the name without its form. Audio comes from form 03 and video from 01, else 02; where
    there is no 03, the audio is the sound track of 01. Ratings keep the intensity (1 normal, 2 strong). A name
    with a code that does not exist is rejected; raises UserError where one form of a clip is there twice with
    different contents.
    """
    forms: dict[str, dict[str, Path]] = defaultdict(dict)
    rejected = []
    for path in corpus_files(root, {".wav", ".flac", ".mp4"}):
        reason = _unofficial(path)
        if reason:
            rejected.append(Rejected(path.stem, None, "prepare", f"{path.relative_to(root)}: {reason}"))
            continue
        form, clip = path.stem.split("-", 1)
        if (clip.startswith("02") and not options.song) or int(clip[-2:]) % 2 not in SEXES[options.sex]:
            continue
        earlier = forms[clip].setdefault(form, path)
        if earlier != path and not filecmp.cmp(earlier, path, shallow=False):
            raise UserError(f"clip {path.stem} is there twice: {earlier} and {path}; move one of them away")
    return [_utterance(clip, paths) for clip, paths in sorted(forms.items())], rejected


def published(root: Path, utterances: list[Utterance], options: Options) -> list[Published]:
    """The counts of the speech clips of all actors; others nobody has published."""
    return (
        []
        if options.song or options.sex != "any"
        else [Published("RAVDESS, speech of 24 actors", {UTTERANCES: 1440} | PUBLISHED, holds="st")]
    )


def _unofficial(path: Path) -> str | None:
    if not _NAME.fullmatch(path.stem):
        return "not an official clip name (seven pairs of digits)"
    codes = dict(zip(_ALLOWED, path.stem.split("-"), strict=True))
    for what, code in codes.items():
        if code not in _ALLOWED[what]:
            return f"unknown {what} {code} in its name"
    if path.suffix.lower() not in _SUFFIXES[codes["form"]]:
        return f"form {codes['form']} does not come as {path.suffix}"
    return None


def _utterance(clip: str, paths: dict[str, Path]) -> Utterance:
    _, emotion, intensity, statement, _, actor = clip.split("-")
    audio = paths.get(AUDIO) or paths.get(AUDIO_VIDEO)
    video = paths.get(AUDIO_VIDEO) or paths.get(VIDEO)
    return Utterance(
        id=clip,
        text=STATEMENTS[statement],
        audio=str(audio) if audio else None,
        video=str(video) if video else None,
        label=EMOTIONS[emotion],
        speaker=f"Actor_{actor}",
        sex="m" if int(actor) % 2 else "f",
        ratings={"intensity": float(intensity)},
    )
