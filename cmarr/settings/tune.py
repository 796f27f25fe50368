"""The search that every method gets alike, so that none wins by being tuned more."""

import math
import random
from collections.abc import Mapping
from typing import Any

from cmarr.settings.schema import Tune


def trials(
    tune: Tune, settings: Mapping[str, Any], train: Mapping[str, Any], tuned: str | None = None
) -> list[dict[str, Any]]:
    """What each trial changes in a method's `settings` and in its section `train`; the first changes nothing.

    tuned: the setting that stands for the learning rate in a method that is fitted without gradient descent

    The draws depend on the number of the trial alone: they are the same for every method.
    """
    draws, found = random.Random(0), [dict[str, Any]()]
    low, high = (math.log(limit) for limit in tune.factor)
    for _ in range(1, tune.trials):
        factor = math.exp(draws.uniform(low, high))
        dropout = draws.uniform(*tune.dropout)
        # One that is chosen on left-out speakers is tuned already.
        own = {} if tuned is None or settings[tuned] == "auto" else {tuned: settings[tuned] * factor}
        if "dropout" in settings:
            own["dropout"] = dropout
        change: dict[str, Any] = {"settings": own}
        if tuned is None:
            change["train"] = {"lr": train["lr"] * factor}
        found.append(change)
    return found
