"""Switches of CM-ARR that would do nothing beside others: refused, lest a run be taken for what it is not.

What is asked here is the method itself. An ablation may well leave one of its switches without a task.
"""

from collections.abc import Callable
from typing import NamedTuple

from cmarr.errors import UserError
from cmarr.settings.schema import CMARR, Settings


class Idle(NamedTuple):
    """A value of the switch `key`, and beside what it does nothing; `why`, and what else could be typed."""

    key: str
    typed: Callable[[CMARR], bool]
    beside: Callable[[Settings], bool]
    why: str
    instead: str


def _without_flows(settings: Settings) -> bool:
    return settings.method.cmarr.recovery != "flow"


def _recovers_nothing(settings: Settings) -> bool:
    return settings.method.cmarr.recovery == "zeros"


def _aligns(settings: Settings) -> bool:
    return bool(settings.alpha or settings.method.cmarr.entropy_weight)


def _reconstructs(settings: Settings) -> bool:
    likelihood = settings.method.cmarr.nll_weight and not _without_flows(settings)
    return bool(likelihood or (settings.lambda_ and not _recovers_nothing(settings)))


IDLE = (
    Idle(
        "query",
        lambda m: m.query == "recovered",
        lambda s: s.method.cmarr.fusion == "pooled",
        "with fusion: pooled there is no attention in which anything asks",
        "text",
    ),
    Idle(
        "query",
        lambda m: m.query == "recovered",
        _recovers_nothing,
        "with recovery: zeros nothing is recovered that could ask",
        "text",
    ),
    Idle(
        "averaging",
        lambda m: m.averaging == "precision",
        _recovers_nothing,
        "with recovery: zeros no average is taken",
        "equal",
    ),
    Idle(
        "nll_weight",
        lambda m: m.nll_weight > 0,
        _without_flows,
        "without recovery: flow there are no flows with a likelihood",
        "0.0",
    ),
    Idle(
        "mixing",
        lambda m: m.mixing != "lu",
        _without_flows,
        "without recovery: flow there are no flows that mix channels",
        "lu",
    ),
    Idle(
        "coupling_hidden",
        lambda m: m.coupling_hidden != "d",
        _without_flows,
        "without recovery: flow there are no flows with couplings",
        "d",
    ),
    Idle(
        "sigma",
        lambda m: m.sigma == "variance",
        lambda s: s.method.cmarr.contrast == "point",
        "with contrast: point no sigma enters the distance",
        "deviation",
    ),
    Idle(
        "resample_first",
        lambda m: m.resample_first,
        lambda s: (
            s.method.cmarr.flow_input == "features" and s.method.cmarr.averaging == "equal" and not _aligns(s)
        ),
        "with flow_input: features and no alignment the features are resampled at once anyway",
        "false",
    ),
    Idle(
        "staged",
        lambda m: m.staged,
        lambda s: not _aligns(s) and not _reconstructs(s),
        "neither alignment nor reconstruction has a loss, so there is one stage",
        "false",
    ),
    Idle(
        "sugr_direction",
        lambda m: m.sugr_direction != "down",
        lambda s: s.method.cmarr.sugr == "none",
        "with sugr: none nothing is weighted",
        "down",
    ),
    Idle(
        "sugr_warm_up",
        lambda m: m.sugr_warm_up > 0,
        lambda s: s.method.cmarr.sugr == "none",
        "with sugr: none nothing is weighted",
        "0",
    ),
)


def refuse_idle_switches(settings: Settings) -> None:
    """Raise UserError, a line for each switch of CM-ARR, if it is trained, that would do nothing."""
    if "cmarr" not in settings.methods:
        return
    lines = [
        f"method.cmarr.{idle.key}: {getattr(settings.method.cmarr, idle.key)} would do nothing, because "
        f"{idle.why}; set it to {idle.instead}"
        for idle in IDLE
        if idle.typed(settings.method.cmarr) and idle.beside(settings)
    ]
    if lines:
        raise UserError("\n".join(lines))
