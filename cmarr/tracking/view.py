"""A view of an experiment's runs that shows scores from the start.

MLflow lists runs without any score until a person picks columns. It keeps shared views as tags of the
experiment and opens one at `#/experiments/<id>/runs?viewStateShareKey=scores`. The form of the tag is
the interface's own: should it change, the link opens the plain list, and nothing else depends on it.
"""

import json
from collections.abc import Mapping

from cmarr.tracking.results import AVERAGES, Results, summary

TAG = "mlflow.sharedViewState.scores"


def scores_view(result: Results, tags: Mapping[str, str]) -> str:
    """The tag's value: columns already in the experiment's `tags`, with this result's added.

    Columns are the averages of each metric and the numbers at the top of the settings (alpha, beta, ...).
    """
    try:
        known = json.loads(tags.get(TAG, "{}"))["selectedColumns"]
    except (ValueError, KeyError, TypeError):  # none yet, or a person's view in another form
        known = []
    numbers = sorted(
        name
        for name, value in result.settings.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    averages = [f"{metric}/{row}" for metric in result.metrics for row in AVERAGES]
    averages = [name for name in summary(result.metrics) if name in averages]
    wanted = [f"params.`{name}`" for name in numbers] + [f"metrics.`{name}`" for name in averages]
    return json.dumps({"selectedColumns": list(dict.fromkeys([*known, *wanted]))})
