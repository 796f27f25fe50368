"""Hygiene of a corpus: what lets a model answer from something else than what is felt, told in doctor and report.

Each check looks at the utterances that a task keeps, their folds, and what the headers of the media say; each finding
is a warning, or a note where a corpus is made that way. None of them stops a study: each is a reason to doubt it.
"""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cmarr.corpora.expected import Finding
from cmarr.corpora.headers import Header
from cmarr.errors import UserError, listed, many, percent_text
from cmarr.files import file_digest
from cmarr.folds.files import ROLES, Fold
from cmarr.media.clips import Failure
from cmarr.utterance import Utterance

SHOWN = 3
"""Examples that stand for the rest."""

REPEATED = 0.05
"""Share of test transcripts that stand in the training part, too, from which it is a warning."""

LONGER, LONGER_BY = 3.0, 5.0
"""A clip is far longer than its table says from so many times its length and so many seconds on."""

ALONE = 0.5
"""Share of the speakers with a single class from which the speaker tells the class, and share of the utterances of one
speaker above which that one is most of the corpus."""

FAR = 10.0
"""Times the size of most values from which a value is none: 99, or -999."""

Headers = Mapping[str, Header | Failure]


@dataclass(frozen=True)
class Corpus:
    """What the checks look at.

    utterances: those of the task
    folds:      none where they cannot be cut
    headers:    path -> what its header says; empty of a corpus that comes as features
    ranges:     'score' or the name of a rating -> its least and largest value, where the corpus is known
    """

    utterances: Sequence[Utterance]
    folds: Sequence[Fold] = ()
    headers: Headers = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def sides(self, utterances: Iterable[Utterance]) -> str:
        """', on two sides of fold 2': where some utterances lie in two parts of a fold; else ''."""
        ids = {u.id for u in utterances}
        for fold in self.folds:
            parts = [role for role in ROLES if not ids.isdisjoint(getattr(fold, role))]
            if len(parts) > 1:
                return f", on two sides of fold {fold.number} ({listed(parts)})"
        return ""


def hygiene(corpus: Corpus) -> list[Finding]:
    """All that the checks find, the gravest first."""
    checks = (
        repeated_recordings,
        recordings_on_two_sides,
        near_equal_names,
        speakers_with_one_class,
        speaker_with_most,
        speakers_with_two_sexes,
        repeated_transcripts,
        longer_than_told,
        out_of_range,
    )
    found = [finding for check in checks for finding in check(corpus)]
    return sorted(found, key=lambda finding: finding.level != "warning")


def near_equal_names(corpus: Corpus) -> list[Finding]:
    """Speakers and sessions whose names differ in nothing that a person would mean: 1 and 1.0, Anna and anna."""
    findings = []
    for kind in ("speaker", "session"):
        written: dict[str, set[str]] = defaultdict(set)
        for name in {getattr(u, kind) for u in corpus.utterances} - {None}:
            written[plain(name)].add(name)
        for names in sorted(sorted(names) for names in written.values() if len(names) > 1):
            told = listed([repr(name) for name in names])
            sides = corpus.sides(u for u in corpus.utterances if getattr(u, kind) in names)
            findings.append(
                Finding(
                    "warning",
                    f"{told} are perhaps one {kind}{sides}",
                    f"write each {kind} in one way: who counts as two is trained on and tested",
                )
            )
    return findings


def plain(name: str) -> str:
    """A name without what people write in several ways: case, accents' form, blanks, marks, zeros of numbers."""
    folded = unicodedata.normalize("NFKC", name).casefold().strip()
    try:
        return f"{float(folded):g}"
    except ValueError:
        return "".join(letter for letter in folded if letter.isalnum()) or folded


def repeated_recordings(corpus: Corpus) -> list[Finding]:
    """The same part of the same recording in several rows: a leak between folds, and often a table gone wrong."""
    same_content = _copies(corpus)
    rows: dict[tuple[object, ...], list[Utterance]] = defaultdict(list)
    for u in corpus.utterances:
        for modality in ("s", "v"):
            path = u.source(modality) or ""
            header = corpus.headers.get(path)
            if isinstance(header, Header):
                crop = u.crop if modality == "v" else None
                part = _part(u, modality, header)
                rows[modality, same_content.get(path, path), *part, crop].append(u)
    repeated = {tuple(u.id for u in same): same for same in rows.values() if len(same) > 1}
    if not repeated:
        return []
    differing = [
        w for w in ("label", "speaker") if any(len({getattr(u, w) for u in s}) > 1 for s in repeated.values())
    ]
    also = f", with different {' and '.join(w + 's' for w in differing)}" if differing else ""
    names = {path for same in repeated.values() for u in same for path in (u.audio, u.video) if path}
    copied = " (as copies under several names)" if names & set(same_content) else ""
    first = next(iter(repeated.values()))
    ids = ", ".join(u.id for u in first[:SHOWN]) + (", ..." if len(first) > SHOWN else "")
    crossing = next(filter(None, map(corpus.sides, repeated.values())), "")
    text = f"{many(len(repeated), 'recording')} in several rows each{copied}{also} ({ids}){crossing}"
    why = "copies leak between folds" if crossing else "copies count several times"
    advice = f"give each row its `start` and `end`, or keep one: {why}"
    return [Finding("warning", text, advice)]


def _part(utterance: Utterance, modality: str, header: Header) -> tuple[float, float]:
    """From where to where of a recording an utterance lasts, seconds, whether its table spells it out or not."""
    begin, end = utterance.span(modality)
    whole = math.inf if header.seconds is None else header.seconds
    return round(begin or 0.0, 2), round(min(whole, math.inf if end is None else end), 2)


def _copies(corpus: Corpus) -> dict[str, str]:
    """Path -> the first path with the same content, of files that are there several times."""
    sizes: dict[int, list[str]] = defaultdict(list)
    for path, header in sorted(corpus.headers.items()):
        if isinstance(header, Header) and Path(path).is_file():
            sizes[Path(path).stat().st_size].append(path)
    first: dict[tuple[bytes, str], str] = {}
    found: dict[str, str] = {}
    for paths in sizes.values():
        heads = {path: _head(path) for path in paths} if len(paths) > 1 else {}
        alike = Counter(heads.values())
        for path, head in heads.items():
            if alike[head] > 1:
                earlier = first.setdefault((head, file_digest(path)), path)
                if earlier != path:
                    found |= {earlier: earlier, path: earlier}
    return found


def _head(path: str) -> bytes:
    with Path(path).open("rb") as opened:
        return opened.read(1 << 12)


def recordings_on_two_sides(corpus: Corpus) -> list[Finding]:
    """Recordings of which other parts are trained on than tested: one voice, one room, one quarrel."""
    parts: dict[str, list[Utterance]] = defaultdict(list)
    for u in corpus.utterances:
        for path in {u.audio, u.video} & set(corpus.headers):
            parts[str(path)].append(u)
    crossing = {
        path: sides
        for path, sharing in parts.items()
        if len({(u.start, u.end) for u in sharing}) > 1 and (sides := corpus.sides(sharing))
    }
    if not crossing:
        return []
    path, sides = min(crossing.items())
    text = f"{many(len(crossing), 'recording')} with utterances in two parts of a fold ({Path(path).name}{sides})"
    return [Finding("warning", text, "let the folds keep what was recorded together on one side")]


def speakers_with_one_class(corpus: Corpus) -> list[Finding]:
    """Speakers all of whose utterances have one label: a model may answer with who speaks."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for u in corpus.utterances:
        if u.speaker is not None and u.label is not None and u.score is None:
            labels[u.speaker][u.label] += 1
    several = {name: own for name, own in labels.items() if own.total() > 1}
    single = [name for name, own in several.items() if len(own) == 1]
    if len(several) < 2 or len(single) < ALONE * len(several):
        return []
    right = sum(max(own.values()) for own in labels.values()) / sum(own.total() for own in labels.values())
    text = (
        f"{len(single)} of {many(len(several), 'speaker')} hold a single class each: who speaks tells "
        f"{percent_text(right)} % of the labels"
    )
    advice = (
        "a model may learn the voices, and nothing here can tell: the scores say little about emotion. Record every "
        "class with every speaker. `normalise: speaker` is refused here"
    )
    return [Finding("warning", text, advice)]


def require_balanced_speakers(normalise: str, utterances: Iterable[Utterance]) -> None:
    """Raise UserError where `normalise: speaker` would take away what is to be recognised.

    It lives on speakers who have spoken in several classes (of scores: on both sides of zero), each in several clips.
    """
    if normalise != "speaker":
        return
    sides: dict[str, Counter[str]] = defaultdict(Counter)
    for u in utterances:
        if u.speaker is not None and (u.score is not None or u.label is not None):
            sides[u.speaker][str(u.label) if u.score is None else str(u.score > 0)] += 1
    several = [own for own in sides.values() if len(own) > 1]
    if len(sides) < 2:
        raise UserError(
            "normalise: speaker needs to know who speaks in each clip, and this corpus does not say; set normalise to "
            "corpus"
        )
    if len(several) <= ALONE * len(sides):
        raise UserError(
            f"normalise: speaker takes away what is usual of a speaker, but {len(sides) - len(several)} of "
            f"{many(len(sides), 'speaker')} hold a single class, which would go with it; set normalise to corpus"
        )


def speaker_with_most(corpus: Corpus) -> list[Finding]:
    """One speaker with most of the utterances, where others speak, too: no two folds are alike then."""
    counts = Counter(u.speaker for u in corpus.utterances if u.speaker is not None)
    if len(counts) < 3:
        return []
    [(name, most)] = counts.most_common(1)
    share = most / counts.total()
    if share <= ALONE:
        return []
    text = (
        f"speaker {name} has {percent_text(share)} % of the utterances, the other {len(counts) - 1} the rest"
    )
    return [
        Finding(
            "warning",
            text,
            "the fold that tests this speaker trains on little; a mean over folds says little",
        )
    ]


def speakers_with_two_sexes(corpus: Corpus) -> list[Finding]:
    """Speakers who are female in one row and male in another."""
    sexes: dict[str, set[str]] = defaultdict(set)
    for u in corpus.utterances:
        if u.speaker is not None and u.sex is not None:
            sexes[u.speaker].add(u.sex)
    both = sorted(name for name, found in sexes.items() if len(found) > 1)
    if not both:
        return []
    told = ", ".join(both[:SHOWN]) + (", ..." if len(both) > SHOWN else "")
    text = f"{many(len(both), 'speaker')} female in some rows and male in others ({told})"
    return [Finding("warning", text, "two persons under one name, or a wrong cell: correct the table")]


def repeated_transcripts(corpus: Corpus) -> list[Finding]:
    """Test utterances whose words, to the letter, were trained on."""
    texts = {u.id: u.text.strip() for u in corpus.utterances if u.text and u.text.strip()}
    tested = known = 0
    for fold in corpus.folds:
        trained = {texts[id] for id in fold.train if id in texts}
        own = [texts[id] for id in fold.test if id in texts]
        tested, known = tested + len(own), known + sum(text in trained for text in own)
    if not known:
        return []
    share = known / tested
    text = f"{percent(share)} % of the test transcripts stand word for word in the training part of their fold, too"
    if share < REPEATED:
        return [Finding("note", text)]
    distinct = len(set(texts.values()))
    if distinct <= max(len(texts) // 20, 1):  # statements that every speaker was given
        return [Finding("note", f"{text}, of {many(distinct, 'transcript')} in all, which tell little")]
    return [
        Finding("warning", text, "a score of the text is partly one of memory; compare with speech alone")
    ]


def percent(share: float) -> str:
    """A share as a number of percent: 18, 0.72."""
    return percent_text(share) if share >= 0.1 else f"{100 * share:.2g}"


def longer_than_told(corpus: Corpus) -> list[Finding]:
    """Files that last far longer than the corpus' own table says of their utterance."""
    longer = []
    for u in corpus.utterances:
        told = _told(u)
        lengths = [_seconds(corpus.headers.get(path)) for path in _whole_files(u)]
        longest = max(lengths, default=0.0)
        if told is not None and longest > LONGER * told and longest > told + LONGER_BY:
            longer.append((u.id, told, longest))
    if not longer:
        return []
    shown = ", ".join(f"{id} lasts {has:.4g} s for {told:.4g} s" for id, told, has in longer[:SHOWN])
    more = f", and {len(longer) - SHOWN} more" if len(longer) > SHOWN else ""
    text = f"{many(len(longer), 'clip')} far longer than the corpus' table says: {shown}{more}"
    advice = "most of such a clip is not the utterance: cut it again from its recording, or leave its row out"
    return [Finding("warning", text, advice)]


def _told(utterance: Utterance) -> float | None:
    """Seconds that the table gives an utterance whose files hold nothing else."""
    if utterance.audio_whole and utterance.end is not None:
        return utterance.end - (utterance.start or 0.0)
    return utterance.ratings.get("seconds")


def _whole_files(utterance: Utterance) -> set[str]:
    """The files that hold this utterance alone."""
    files = {utterance.audio} if utterance.audio_whole or utterance.end is None else set()
    files |= {utterance.video} if utterance.end is None else set()
    return {path for path in files if path}


def _seconds(header: Header | Failure | None) -> float:
    return (header.seconds or 0.0) if isinstance(header, Header) else 0.0


def out_of_range(corpus: Corpus) -> list[Finding]:
    """Scores and ratings outside what the corpus is known to use, or so far from the others that they are none."""
    values: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for u in corpus.utterances:
        for name, value in (("score", u.score), *u.ratings.items()):
            if value is not None and name != "seconds":
                values[name].append((value, u.id))
    findings = []
    for name, found in sorted(values.items()):
        known = name in corpus.ranges
        least, most = corpus.ranges[name] if known else _usual([value for value, _ in found])
        beyond = [(value, id) for value, id in found if not least <= value <= most]
        if not beyond:
            continue
        farthest = sorted(beyond, key=lambda found: -abs(found[0]))[:SHOWN]
        shown = ", ".join(f"{value:g} of {id}" for value, id in farthest)
        scale = f"the corpus' {least:g} to {most:g}" if known else "what the others are"
        text = f"{many(len(beyond), 'value')} of {name} far from {scale} ({shown})"
        if known:
            text = text.replace("far from", "outside")
        advice = "a sentinel for 'none', or another scale? Leave such cells empty"
        findings.append(Finding("warning", text, advice))
    return findings


def _usual(values: Sequence[float]) -> tuple[float, float]:
    """Between what values lie, all but those that cannot be on the same scale."""
    most = sorted(map(abs, values))[3 * len(values) // 4]
    return (-FAR * most, FAR * most) if most else (-math.inf, math.inf)
