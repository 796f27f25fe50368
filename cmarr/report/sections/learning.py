"""Learning curves: what the losses did, and what selection saw."""

import pandas as pd

from cmarr.errors import many
from cmarr.report.curves import LOSS, curve_panels
from cmarr.report.page import Folded, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.study import Study


def learning_section(study: Study) -> Section:
    """A fold a method that is trained over epochs; the others are named."""
    score = "MAE" if study.task.regression else "UAR"
    fitted = [m for m, curves in study.curves.items() if curves["epoch"].max() <= 1]
    folds = [
        Folded(method, [learning_picture(method, curves, score)], open=True)
        for method, curves in study.curves.items()
        if method not in fitted
    ]
    lead = [
        "Thin lines are trainings (a fold and a seed each), the thick one is their mean while at least half still run."
    ]
    if fitted:
        named = ", ".join(f"`{m}`" for m in fitted)
        lead.append(f"Fitted in one step, so without a curve: {named}.")
    missing = "" if folds else "No method here is trained over epochs; add one to `methods` in params.yaml."
    return Section("learning", "Learning curves", lead if folds else (), folds, missing)


def learning_picture(method: str, curves: pd.DataFrame, score: str) -> Picture:
    """Every loss, the selection score with the epochs kept, and the validation scores by condition."""
    drawn = curve_panels(curves, score=score)
    last = int(curves["epoch"].max())
    losses = sum(name.startswith(LOSS) for name in set(curves["name"]))
    return Picture(
        f"curves-{method}",
        f"Training of {method}. Dots: the epoch that was kept; letters at the right: the condition.",
        f"{many(losses, 'loss', 'losses')}, the selection score and the validation {score} of {method} over up to "
        f"{many(last, 'epoch')}.",
        [Panel(f"curves-{method}-{name}", figure, heading) for name, heading, figure in drawn],
    )
