"""What must hold of folds, however they were made, and the sentence that says how they were."""

from collections.abc import Sequence
from itertools import combinations

from cmarr.errors import UserError
from cmarr.folds.files import ROLES, Fold
from cmarr.utterance import Utterance


def check_folds(
    utterances: Sequence[Utterance],
    folds: Sequence[Fold],
    classes: Sequence[str] = (),
    speakers_may_recur: bool = False,
) -> None:
    """Raise UserError for an empty part, a class nothing trains, or anything on two sides of a fold.

    On two sides may be an utterance, or, unless `speakers_may_recur`, a speaker.
    """
    by_id = {u.id: u for u in utterances}
    for fold in folds:
        for role in ROLES:
            if not getattr(fold, role):
                raise UserError(f"fold {fold.number} has no utterance for {role}; choose other folds")
        for name in classes:
            if all(by_id[id].label != name for id in fold.train):
                raise UserError(
                    f"fold {fold.number}: no training utterance is labelled {name!r}; choose other folds, "
                    "merge the class with another, or leave it out of classes"
                )
        for one, other in combinations(ROLES, 2):
            twice = set(getattr(fold, one)) & set(getattr(fold, other))
            if twice:
                raise UserError(f"fold {fold.number}: utterance {min(twice)} is in {one} and in {other}")
        crossing = recurring_speakers(utterances, [fold])
        if crossing and not speakers_may_recur:
            raise UserError(
                f"fold {fold.number}: speaker {crossing[0]} is in more than one of {', '.join(ROLES)}"
            )


def recurring_speakers(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> list[str]:
    """Speakers with utterances in two or three parts of one fold, sorted."""
    speaker = {u.id: u.speaker for u in utterances}
    recurring: set[str] = set()
    for fold in folds:
        parts = [{speaker[id] for id in getattr(fold, role)} for role in ROLES]
        for one, other in combinations(parts, 2):
            recurring |= {s for s in one & other if s is not None}
    return sorted(recurring)


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
    balance = ", sex-balanced" if all(u.sex for u in utterances) else ""
    return (
        f"{len(folds)} folds grouped by speaker ({len(speakers)} speakers{balance}), the next group "
        "validates; no speaker on two sides."
    )


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
