"""Switches of a method that would do nothing beside others: refused, lest a run be taken for what it is not.

What is asked here is the method itself. An ablation may well leave one of its switches without a task.
"""

from cmarr.errors import UserError
from cmarr.settings.declared import own_settings
from cmarr.settings.schema import Settings


def refuse_idle_switches(settings: Settings) -> None:
    """Raise UserError, a line for each switch of a method that is trained and says that it would do nothing."""
    lines = []
    for name in settings.methods:
        own = own_settings(settings, name)
        lines += [
            f"method.{name}.{idle.key}: {getattr(own, idle.key)} would do nothing, because {idle.why}; set it to "
            f"{idle.instead}"
            for idle in (own.idle() if hasattr(own, "idle") else ())
        ]
    if lines:
        raise UserError("\n".join(lines))
