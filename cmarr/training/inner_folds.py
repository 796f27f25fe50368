"""How long to train, chosen on several groups of speakers in turn: two validation speakers choose badly."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from cmarr.errors import UserError
from cmarr.folds.dealing import dealt
from cmarr.folds.files import Fold
from cmarr.training.progress import Kept
from cmarr.utterance import Utterance


def inner_folds(fold: Fold, utterances: Mapping[str, Utterance], count: int) -> list[Fold]:
    """The inner folds 2 to `count` of a fold, the first being the fold itself.

    The training speakers are dealt to `count` - 1 groups, large ones first, each to the smallest group so far; each
    group chooses in turn, and all others, the fold's validation speakers among them, train. Where no speaker is known,
    every utterance goes by itself. Raises UserError where there are fewer speakers than groups.
    """
    sizes = Counter(utterances[id].speaker or id for id in fold.train)
    if len(sizes) < count - 1:
        raise UserError(
            f"train.selection_folds = {count}, but fold {fold.number} trains on {len(sizes)} speakers: lower it"
        )
    names = sorted(sizes)
    home = dict(zip(names, dealt([sizes[name] for name in names], count - 1), strict=True))
    groups: list[list[str]] = [[] for _ in range(count - 1)]
    for id in fold.train:
        groups[home[utterances[id].speaker or id]].append(id)
    return [
        replace(fold, train=[i for i in [*fold.train, *fold.validation] if i not in out], validation=group)
        for group in groups
        for out in [set(group)]
    ]


def inner_phase(number: int) -> str:
    """What the state of an inner fold's training is called."""
    return f"inner{number}"


def over_inner_folds(kept: Sequence[Sequence[Kept]]) -> list[Kept]:
    """Of each stage, the middle of the epochs that the inner folds kept, and their mean scores, epoch by epoch.

    >>> over_inner_folds([[(3, [0.1, 0.2, 0.5])], [(1, [0.3])], [(2, [0.2, 0.4])]])
    [(2, [0.2, 0.3, 0.5])]
    """
    found = []
    for stage in zip(*kept, strict=True):
        epochs = round(statistics.median(number for number, _ in stage))
        reached = zip_longest(*(scores for _, scores in stage))
        means = (statistics.fmean(s for s in at if s is not None) for at in reached)
        found.append((epochs, [round(mean, 12) for mean in means]))
    return found
