"""Cutting a corpus into folds: by session, by speaker, or as its authors did; and what must hold of any folds."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from cmarr.errors import UserError
from cmarr.folds.files import ROLES, Fold
from cmarr.utterance import Utterance

SCHEMES = ("session", "speaker", "mmin", "official")


def split(
    utterances: Sequence[Utterance],
    scheme: str,
    n_folds: int = 5,
    seed: int = 0,
    classes: Sequence[str] = (),
) -> list[Fold]:
    """Folds numbered from 1; the ids of each part in the order of `utterances`.

    - 'session': each session is tested once, in natural order; the next one, cyclically, validates.
    - 'speaker': `n_folds` groups of speakers of even size, even in sex where it is known, and as even in
      labels as whole speakers allow; the next group validates. `seed` shuffles equals.
    - 'mmin': each speaker is tested once, in natural order; the others of the session validate, and the
      other sessions train (the MMIN family: 10 folds on IEMOCAP, 12 on MSP-IMPROV).
    - 'official': one fold, the corpus' own split.

    `n_folds` and `seed` are for 'speaker' only. `classes` are those of the task (none: regression). An utterance
    without a label, where the manifest has any, is learnt from, and neither validates nor is it tested.
    Raises UserError for what the scheme needs and the corpus lacks, and for everything `check_folds` finds.
    """
    if scheme == "official":
        folds = [_official(utterances)]
    elif scheme == "mmin":
        folds = _partners(utterances)
    elif scheme in ("session", "speaker"):
        groups = _sessions(utterances) if scheme == "session" else _speakers(utterances, n_folds, seed)
        folds = _rotate(utterances, groups)
    else:
        raise UserError(f"folds: {scheme!r} is not a scheme; there are {', '.join(SCHEMES)}")
    folds = _tested_with_labels(utterances, folds, classes)
    check_folds(utterances, folds, classes, speakers_may_recur=scheme == "official")
    return folds


def _tested_with_labels(
    utterances: Sequence[Utterance], folds: Sequence[Fold], classes: Sequence[str]
) -> list[Fold]:
    """The folds without the utterances that have no label in validation and test: those can only be learnt from."""
    known = {u.id for u in utterances if u.label is not None or (not classes and u.score is not None)}
    if not known:
        return list(folds)
    return [
        Fold(f.number, f.train, *([i for i in part if i in known] for part in (f.validation, f.test)))
        for f in folds
    ]


def _rotate(utterances: Sequence[Utterance], group: Mapping[str, int]) -> list[Fold]:
    """One fold a group: it is tested, the next one validates, the others train. `group` is by id."""
    n_groups, ids = len(set(group.values())), [u.id for u in utterances]
    folds = []
    for test in range(n_groups):
        validation = (test + 1) % n_groups
        parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for id in ids:
            role = {test: "test", validation: "validation"}.get(group[id], "train")
            parts[role].append(id)
        folds.append(Fold(test + 1, **parts))
    return folds


def _sessions(utterances: Sequence[Utterance]) -> dict[str, int]:
    """Number of each utterance's session, by id."""
    for u in utterances:
        if u.session is None:
            raise UserError(f"folds: utterance {u.id} has no session; set folds: speaker, or fill it in")
    names = sorted({u.session for u in utterances if u.session is not None}, key=_natural)
    if len(names) < 3:
        raise UserError(
            f"folds: leaving one session out needs three sessions (training, validation, test); "
            f"there are {len(names)} ({', '.join(names)}); set folds: speaker"
        )
    homes: dict[str, str] = {}
    for u in utterances:
        if u.speaker is not None and homes.setdefault(u.speaker, str(u.session)) != u.session:
            raise UserError(
                f"folds: speaker {u.speaker} is in the sessions {homes[u.speaker]} and {u.session}, and would "
                "be trained on and tested; set folds: speaker"
            )
    return {u.id: names.index(str(u.session)) for u in utterances}


def _partners(utterances: Sequence[Utterance]) -> list[Fold]:
    """One fold a speaker, whose partners in the session validate."""
    _sessions(utterances)  # refuses what cannot be cut by session
    home: dict[str, str] = {}
    for u in utterances:
        if u.speaker is None:
            raise UserError(f"folds: utterance {u.id} has no speaker; set folds: session, or fill it in")
        home[u.speaker] = str(u.session)
    for speaker, session in home.items():
        if list(home.values()).count(session) < 2:
            raise UserError(
                f"folds: speaker {speaker} is alone in session {session}, and nobody there could validate; "
                "set folds: session"
            )
    folds = []
    for number, tested in enumerate(sorted(home, key=lambda s: (_natural(home[s]), _natural(s))), 1):
        parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for u in utterances:
            same = "test" if u.speaker == tested else "validation"
            parts[same if u.session == home[tested] else "train"].append(u.id)
        folds.append(Fold(number, **parts))
    return folds


def _speakers(utterances: Sequence[Utterance], n_folds: int, seed: int) -> dict[str, int]:
    """Number of the group of speakers each utterance belongs to, by id."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    sexes: dict[str, str] = {}
    for u in utterances:
        if u.speaker is None:
            raise UserError(f"folds: utterance {u.id} has no speaker; fill it in, or set folds: official")
        labels[u.speaker][u.label or ""] += 1
        sex = u.sex or "unknown"
        if sexes.setdefault(u.speaker, sex) != sex:
            raise UserError(f"folds: speaker {u.speaker} is {sexes[u.speaker]} and {sex} (utterance {u.id})")
    if n_folds < 3 or n_folds > len(labels):
        raise UserError(
            f"n_folds: {n_folds} groups of the {len(labels)} speakers; it must be at least 3 (training, "
            "validation, test) and at most the number of speakers"
        )
    group_of = _assign(labels, sexes, n_folds, seed)
    return {u.id: group_of[str(u.speaker)] for u in utterances}


def _assign(
    labels: Mapping[str, Counter[str]], sexes: Mapping[str, str], n_groups: int, seed: int
) -> dict[str, int]:
    """Group of each speaker. Large speakers first: the small ones then fill what is uneven."""
    order = sorted(labels)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda s: (sexes[s], -labels[s].total()))
    members = Counter[tuple[int, str]]()  # speakers by group and sex
    sizes = Counter[int]()  # speakers by group
    held = Counter[tuple[int, str]]()  # utterances by group and label
    group_of = {}
    for speaker in order:
        own = labels[speaker]

        def unevenness(g: int, speaker: str = speaker, own: Counter[str] = own) -> tuple[float, ...]:
            # growth of the sum of squares of the label counts, the smaller the more even
            growth = sum(n * (2 * held[g, label] + n) for label, n in own.items())
            return members[g, sexes[speaker]], sizes[g], growth, g

        chosen = min(range(n_groups), key=unevenness)
        group_of[speaker] = chosen
        members[chosen, sexes[speaker]] += 1
        sizes[chosen] += 1
        held.update({(chosen, label): n for label, n in own.items()})
    return group_of


def _official(utterances: Sequence[Utterance]) -> Fold:
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for u in utterances:
        if u.split not in parts:
            raise UserError(
                f"folds: utterance {u.id} has the split {u.split!r}, not train, valid or test; "
                "fill it in, or set folds: speaker"
            )
        parts[u.split].append(u.id)
    return Fold(1, parts["train"], parts["valid"], parts["test"])


def _natural(name: str) -> list[tuple[int, str]]:
    """Session2 before Session10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def check_folds(
    utterances: Sequence[Utterance],
    folds: Sequence[Fold],
    classes: Sequence[str] = (),
    speakers_may_recur: bool = False,
) -> None:
    """Raise UserError for an empty part, a class nothing trains, or anything on two sides of a fold.

    On two sides may be an utterance, or, unless `speakers_may_recur`, a speaker.
    """
    labels: dict[str, str | None] = {}
    speakers: dict[str, str | None] = {}
    for u in utterances:  # once, and no objects are kept: a million of them are two gigabytes
        labels[u.id], speakers[u.id] = u.label, u.speaker
    for fold in folds:
        for role in ROLES:
            if not getattr(fold, role):
                raise UserError(f"fold {fold.number} has no utterance for {role}; choose other folds")
        for name in classes:
            if all(labels[id] != name for id in fold.train):
                raise UserError(
                    f"fold {fold.number}: no training utterance is labelled {name!r}; choose other folds, "
                    "merge the class with another, or leave it out of classes"
                )
        for one, other in combinations(ROLES, 2):
            twice = set(getattr(fold, one)) & set(getattr(fold, other))
            if twice:
                raise UserError(f"fold {fold.number}: utterance {min(twice)} is in {one} and in {other}")
        if not speakers_may_recur and (crossing := _crossing(speakers, fold)):
            raise UserError(
                f"fold {fold.number}: speaker {min(crossing)} is in more than one of {', '.join(ROLES)}"
            )


def recurring_speakers(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> list[str]:
    """Speakers with utterances in two or three parts of one fold, sorted."""
    speakers = {u.id: u.speaker for u in utterances}
    return sorted(set().union(*(_crossing(speakers, fold) for fold in folds)))


def _crossing(speakers: Mapping[str, str | None], fold: Fold) -> set[str]:
    """Speakers, of those by utterance, who are in two or three parts of a fold."""
    parts = [{speakers[id] for id in getattr(fold, role)} for role in ROLES]
    crossing = set().union(*(one & other for one, other in combinations(parts, 2)))
    return {name for name in crossing if name is not None}


def describe_rule(utterances: Sequence[Utterance], folds: Sequence[Fold], scheme: str) -> str:
    """One sentence on how the folds were made, to stand under every table made with them."""
    if scheme == "official":
        sizes = "/".join(str(len(getattr(folds[0], role))) for role in ROLES)
        return f"Official split (train/validation/test {sizes}); {_recurrence(utterances, folds)}."
    speakers = {u.speaker for u in utterances}
    if scheme == "session":
        disjoint = "speakers not known" if None in speakers else "no speaker on two sides"
        return f"{len(folds)} folds, leave one session out, the next session validates; {disjoint}."
    if scheme == "mmin":
        return (
            f"{len(folds)} folds, one a speaker, whose partners in the session validate while the other sessions "
            "train (the MMIN family's protocol); no speaker on two sides."
        )
    return (
        f"{len(folds)} folds grouped by speaker ({len(speakers)} speakers{_balance(utterances, folds)}), the next "
        "group validates; no speaker on two sides."
    )


BALANCED = 0.8
"""Women for each man, or men for each woman, from which speakers are balanced in sex."""


def _balance(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> str:
    """How the sexes are spread over the test parts, where they are known: evenly, or so many in each."""
    sexes = {u.id: (u.speaker, u.sex) for u in utterances}
    if not all(u.sex for u in utterances):
        return ""
    parts = [Counter(sex for _, sex in {sexes[id] for id in fold.test}) for fold in folds]
    women, men = ([part[sex] for part in parts] for sex in "fm")
    even = all(max(numbers) - min(numbers) <= 1 for numbers in (women, men))
    if even and min(sum(women), sum(men)) >= BALANCED * max(sum(women), sum(men)):
        return ", sex-balanced"
    told = ["/".join(map(str, numbers)) for numbers in (women, men)]
    return f", not sex-balanced: women {told[0]} and men {told[1]} in the test parts"


def _recurrence(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> str:
    if all(u.speaker is not None for u in utterances):
        n = len(recurring_speakers(utterances, folds))
        who = f"{n} speaker is" if n == 1 else f"{n or 'no'} speakers are"
        return f"{who} in more than one part"
    dialogue = {u.id: u.dialogue for u in utterances}
    if None in dialogue.values():
        return "speakers not known, they may be in more than one part"
    parts = [{dialogue[id] for id in getattr(folds[0], role)} for role in ROLES]
    shared = len(set().union(*(a & b for a, b in combinations(parts, 2))))
    recording = f"{shared} recordings are" if shared > 1 else f"{shared or 'no'} recording is"
    return f"speakers not known, they may be in more than one part; {recording} in two parts"
