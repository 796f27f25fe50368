"""An epoch at IEMOCAP's size, 5531 utterances, in two sizes of CM-ARR; and from that, what a study takes.

A quarter (`full`: a sixteenth) of the utterances is trained on, and multiplied.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.engine.loop import epochs
from benchmarks.engine.stores import IEMOCAP, random_store
from benchmarks.records import markdown
from benchmarks.sizes import FULL, MIDDLE, build

TRAINED, VALIDATED = 3319, 1106
"""Utterances where IEMOCAP's sessions take turns in testing, the mean of the folds."""

FOLDS, EPOCHS = 5, 100


def measure(steps: int) -> dict[str, Any]:
    """Seconds an epoch of all utterances with a validation, and what the arithmetic makes of a study."""
    found = {}
    for name, settings, batch, share in (("d 64, L 32", MIDDLE, 64, 4), ("full", FULL, 16, 16)):
        train, validation = random_store(IEMOCAP // share), random_store(VALIDATED // share, seed=1)
        (cost,) = epochs(build("cmarr", settings), train, validation, batch, 1)
        seconds = cost.seconds * share
        whole = FOLDS * EPOCHS * seconds * (TRAINED + VALIDATED) / (IEMOCAP + VALIDATED)
        found[name] = {
            "measured_share": 1 / share,
            "epoch_processor_seconds": cost.processor_seconds * share,
            "epoch_seconds": seconds,
            "study_hours": whole / 3600,
        }
    return found


def table(found: Mapping[str, Any]) -> str:
    return markdown(
        ["CM-ARR", "s an epoch", "processor s", "h a study, folds one after another"],
        [
            [
                name,
                f"{own['epoch_seconds']:.0f}",
                f"{own['epoch_processor_seconds']:.0f}",
                f"{own['study_hours']:.1f}",
            ]
            for name, own in found.items()
        ],
    )
