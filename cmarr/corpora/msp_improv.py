"""MSP-IMPROV (Busso et al. 2017): twelve actors in six dyadic sessions, licensed by UT Dallas.

Everything is found by name, `MSP-IMPROV-S01A-F01-S-FM01`: sentence 01, target emotion A (angry; H, S, N),
speaker F01 of session 1, scenario S (P, R, S or T), direction and turn. Labels stand in Evaluation.txt,
where names begin with UTD instead.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cmarr.budgets import expanded
from cmarr.corpora.expected import UNLABELLED, UTTERANCES, Published
from cmarr.corpora.inventory import corpus_files
from cmarr.corpora.text_files import finite_numbers, read_text
from cmarr.declaration import Section, setting
from cmarr.errors import Unreadable, UserError
from cmarr.utterance import Rejected, Utterance

READER = "msp_improv"

LAYOUT = (
    "Evaluation.txt, the folders Audio and Video (or session1 ... session6 directly) with files like "
    "MSP-IMPROV-S01A-F01-S-FM01.wav, and All_human_transcriptions"
)

LABELS = {"A": "angry", "H": "happy", "S": "sad", "N": "neutral", "O": "other", "X": None}
SUBSETS = {"published": "S", "all": "PRST"}
"""`options.subset` -> scenarios. The published studies use the target-improvised turns, S."""

_WHOLE = {
    UTTERANCES: 8438,
    "angry": 792,
    "happy": 2644,
    "neutral": 3477,
    "sad": 885,
    f"other+{UNLABELLED}": 640,
}
_SUBSET = {"angry": 470, "happy": 1048, "neutral": 1789, "sad": 633}
WITH_FACE = {"angry": 460, "happy": 999, "neutral": 1733, "sad": 627}

_NAME = re.compile(
    r"(?:MSP-|UTD-)?IMPROV-(S\d\d[AHSN])-([FM])(\d\d)-([PRST])-([FM]{2}\d{2,3})", re.ASCII | re.IGNORECASE
)
_LABEL = re.compile(r"([\w-]+)(?:\.\w+)?\s*;\s*(\w*)\s*;(.*)", re.ASCII)
_VALUE = re.compile(r"([AVDN])\s*:\s*([^;\s]+)", re.ASCII)
_RATINGS = {"A": "arousal", "V": "valence", "D": "dominance", "N": "naturalness"}
_LEAST_AND_MOST = 6.0
"""1 + 5: the ends of the scale, on which activation is stored reversed."""


@dataclass
class _Found:
    """Files by turn, and the evaluation."""

    evaluation: Path | None = None
    audio: dict[str, Path] = field(default_factory=dict)
    video: dict[str, Path] = field(default_factory=dict)
    text: dict[str, Path] = field(default_factory=dict)


class Options(Section):
    """Which turns of MSP-IMPROV are taken."""

    subset: Literal["published", "all"] = setting(
        "published", "published = scenario S, as in published studies"
    )
    ids: str | None = setting(None, "file with the turns to keep, one a line, relative to the root")


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """Read the turns of the evaluation; those without agreement (X) have no label.

    Published studies also leave out turns in which their detector found no face, which is why `ids` may name those
    to keep. Ratings are arousal (turned the right way round), valence, dominance and
    naturalness, 1 to 5, those given as NaN left out. Raises UserError where there is no evaluation.
    """
    found = _find(root)
    if found.evaluation is None:
        raise UserError(f"{root} holds no Evaluation.txt (nor Evalution.txt); expected {LAYOUT}")
    wanted = _listed(root, options.ids)
    utterances: list[Utterance] = []
    rejected: list[Rejected] = []
    labelled = set()
    for number, line in enumerate(read_text(found.evaluation).split("\n"), 1):
        if not re.match(r"\s*(UTD|MSP|IMPROV)-", line, re.IGNORECASE):  # a rater's line, a blank one
            continue
        match = _LABEL.match(line.strip())
        id = _id(match[1]) if match else None
        where = f"{found.evaluation.relative_to(root)}, line {number}"
        if not match or not id:
            reason = f"{where}: not a label line like 'UTD-IMPROV-S01A-F01-S-FM01.avi; N; A:2.8; ...'"
            rejected.append(Rejected(line[:32].strip(), None, "prepare", reason))
            continue
        labelled.add(id)
        if id.split("-")[4] not in SUBSETS[options.subset] or (wanted is not None and id not in wanted):
            continue
        if match[2] not in LABELS:
            reason = f"{where}: unknown label {match[2]!r}; there are {', '.join(LABELS)}"
            rejected.append(Rejected(id, None, "prepare", reason))
            continue
        try:
            utterances.append(_utterance(id, LABELS[match[2]], match[3], found))
        except Unreadable as error:
            rejected.append(Rejected(id, "t", "prepare", str(error)))
    for id in sorted((wanted or set()) - labelled):
        rejected.append(Rejected(id, None, "prepare", f"{options.ids} names it, but it has no label"))
    return utterances, rejected


def files(root: Path, options: Options) -> list[Path]:
    """The evaluation, transcripts and media, and the list of ids."""
    found = _find(root)
    media = [*found.audio.values(), *found.video.values(), *found.text.values()]
    return [p for p in (found.evaluation, root / options.ids if options.ids else None, *media) if p]


def published(root: Path, utterances: list[Utterance], options: Options) -> list[Published]:
    """The counts of the whole corpus, or those of the subset with and without the rule of the face."""
    if options.subset == "all":
        return [Published("MSP-IMPROV, all turns", _WHOLE, holds="svt")]
    return [
        Published("scenario S, before the rule that a face is detected (3940)", _SUBSET, holds="svt"),
        Published("scenario S with a detected face, as published (3819)", WITH_FACE, holds="svt"),
    ]


def who(turn: str) -> dict[str, Any]:
    """Speaker, sex, session and dialogue, as the name of a turn says them; {} for another name."""
    id = _id(turn)
    if not id:
        return {}
    _, _, sentence, speaker, scenario, _ = id.split("-")
    session = f"session{int(speaker[1:])}"
    return {
        "speaker": speaker,
        "sex": speaker[0].lower(),
        "session": session,
        "dialogue": f"{session}-{sentence}-{scenario}",
    }


def _find(root: Path) -> _Found:
    found = _Found()
    for path in corpus_files(root, {".txt", ".wav", ".flac", ".avi", ".mp4"}):
        id = _id(path.stem)
        suffix = path.suffix.lower()
        if suffix == ".txt" and path.stem.lower() in ("evaluation", "evalution"):
            found.evaluation = found.evaluation or path
        elif id:
            forms = {".txt": found.text, ".wav": found.audio, ".flac": found.audio}
            forms.get(suffix, found.video).setdefault(id, path)
    return found


def _id(name: str) -> str | None:
    """The turn a file or a line is about, MSP-IMPROV-...; None for another name."""
    match = _NAME.fullmatch(name)
    return "MSP-IMPROV-{}-{}{}-{}-{}".format(*match.groups()).upper() if match else None


def _listed(root: Path, ids: str | None) -> set[str] | None:
    if ids is None:
        return None
    path = root / expanded(ids)
    if not path.is_file():
        raise UserError(f"{path} does not exist; options.ids names a text file, one turn a line")
    names = [line.split(".")[0].strip() for line in read_text(path).split("\n") if line.strip()]
    strange = next((name for name in names if not _id(name)), None)
    if strange is not None:
        raise UserError(f"{path}: {strange!r} is not a name like MSP-IMPROV-S01A-F01-S-FM01")
    return {str(_id(name)) for name in names}


def _utterance(id: str, label: str | None, values: str, found: _Found) -> Utterance:
    audio, video, transcript = found.audio.get(id), found.video.get(id), found.text.get(id)
    return Utterance(
        id=id,
        text=" ".join(read_text(transcript).split()) or None if transcript else None,
        audio=str(audio) if audio else None,
        video=str(video) if video else None,
        label=label,
        ratings=_ratings(values),
        **who(id),
    )


def _ratings(cells: str) -> dict[str, float]:
    ratings = finite_numbers((_RATINGS[letter], cell) for letter, cell in _VALUE.findall(cells))
    if "arousal" in ratings:
        ratings["arousal"] = round(_LEAST_AND_MOST - ratings["arousal"], 6)
    return ratings
