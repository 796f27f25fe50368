"""What authors allowed themselves and nobody is allowed here, in the field's words, and the one way to the test part.

A method names in its own file which of them its authors took (`privileges`, see `cmarr.methods.protocol`). A row of the
report that takes them again, to measure what they are worth, is an ablation with `privileges`; wherever it is shown it
is marked, and it takes part in nothing else.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from cmarr.folds.files import Fold

Privilege = Literal["test_epoch", "per_condition", "batch_masks", "sampled_answers", "redrawn_masks"]
"""Its name."""

TEST_EPOCH, PER_CONDITION, BATCH_MASKS, SAMPLED, REDRAWN = get_args(Privilege)

TOLD = {
    TEST_EPOCH: "the epoch is chosen on the test utterances",
    PER_CONDITION: "one training a condition, asked under that condition alone",
    BATCH_MASKS: "one mask a batch in training",
    SAMPLED: "answers are drawn, anew each time",
    REDRAWN: "when asked, the other utterances of a dialogue are hidden by draws of their own, anew each time",
}
"""Privilege -> what it is."""

WORD = "PRIVILEGED"
"""What a name, a column or a metric of such a row begins with where nothing can be red."""

MARK = f"\N{LARGE RED CIRCLE} {WORD}"
"""The same for a reader; the page sets it in red."""


def told(privileges: Collection[str]) -> str:
    """The mark, and which they are.

    >>> print(told(["test_epoch"]).removeprefix(MARK))
     (the epoch is chosen on the test utterances)
    """
    return f"{MARK} ({'; '.join(TOLD[name] for name in privileges)})"


def require_untested(fold: "Fold", ids: Collection[str], privileges: Collection[str] = ()) -> None:
    """Raise ValueError if test utterances of a fold are among `ids`, to train or to choose, without that privilege.

    fold: as it was written
    """
    if TEST_EPOCH not in privileges and (tested := set(fold.test).intersection(ids)):
        raise ValueError(
            f"fold {fold.number}: {min(tested)} is a test utterance, and neither trains nor chooses"
        )


def chosen_on_test(fold: "Fold", privileges: Collection[str]) -> "Fold":
    """The fold with its test utterances in the place of its validation ones: they choose the epoch, and train nothing.

    Raises ValueError without that privilege.
    """
    if TEST_EPOCH not in privileges:
        raise ValueError(f"fold {fold.number}: its test utterances were asked for without the privilege")
    return replace(fold, validation=fold.test)
