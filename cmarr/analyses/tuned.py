"""The methods after the same small search each, beside the methods as they stand: would it turn the table round?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.results import HEADLINE, beside_frame
from cmarr.analyses.study import Study, deterministic
from cmarr.errors import many
from cmarr.evaluation.comparison import MODELS, Comparisons, compare_pairs
from cmarr.evaluation.scores import primary
from cmarr.evaluation.summary import long_table, summarise
from cmarr.report.notes import ONE_SEED, nothing_can_be_shown, outcome, shown_means
from cmarr.report.numbers import LABELS, difference_text, row_label, unit
from cmarr.report.page import Points, Section
from cmarr.report.table import Table
from cmarr.settings.schema import TRIALS
from cmarr.task import Task

TITLE = "Every method after the same search"
HOW = (
    "No method was tuned: `make tuned` gives each the same small search on validation data (the section `tune` of "
    "params.yaml), and shows it here beside the method as it stands."
)


@dataclass(frozen=True)
class Tuned:
    """What the search came to.

    names:       method -> what its tuned row is called, in the order of the tables
    trials:      settings that each of them tried
    summaries:   of methods and tuned rows, by name
    comparisons: of all pairs of tuned rows, and of each with its method: one table
    """

    names: Mapping[str, str]
    trials: int
    summaries: Mapping[str, Mapping[str, Any]]
    comparisons: Comparisons


def tuned_section(found: Tuned | None, task: Task, *, cluster: str) -> Section:
    """What the search changes in words, the table of both, and what it gained a method."""
    if found is None:
        return Section("tuned", TITLE, missing=HOW)
    metric = primary(task)
    clusters = next(iter(found.summaries.values()))["meta"]["clusters"]
    once = any(own["meta"]["of"] == MODELS for own in found.comparisons.values())
    notes = [
        f"tuned: {many(found.trials, 'trial')} with the first seed, the first of them the settings as they stand; each "
        "fold takes the best on its validation data, and no test utterance has a part in it.",
        "Bold: shown to be better than every other tuned method. "
        + shown_means(cluster, "all pairs of tuned methods, each with the method as it stands, and all rows"),
        *([ONE_SEED] if once else []),
        *nothing_can_be_shown(clusters, cluster),
    ]
    scores = Table(
        f"tuned-{metric.lower()}",
        f"{LABELS.get(metric, metric)}{unit(metric)}: every method as it stands and after the search, mean "
        "[95 % interval] ± deviation over folds, over seeds.",
        beside_frame(found.names, found.summaries, found.comparisons, metric),
        notes,
    )
    gained = Table(
        "tuned-differences",
        f"What the search gained: tuned minus as it stands, {metric}{unit(metric)} [95 % interval, paired].",
        gains_frame(found, metric),
    )
    return Section("tuned", TITLE, (), [Points(verdicts(found, metric)), scores, gained])


def gains_frame(found: Tuned, metric: str) -> pd.DataFrame:
    """A row a method: what the search changed on average, with all modalities, and whether that is shown."""
    rows = []
    for name, label in found.names.items():
        cells = found.comparisons[label, name][metric]
        row = {"method": name}
        for at in HEADLINE:
            row[row_label(at, found.summaries)] = difference_text(metric, cells[at])
        rows.append(row | {"tuned, on avg6, is": outcome(cells["avg6"])})
    return pd.DataFrame(rows)


def verdicts(found: Tuned, metric: str, row: str = "avg6") -> list[str]:
    """Which tuned methods the search is shown to help, and which pairs of tuned methods are told apart."""
    better = [
        name
        for name, label in found.names.items()
        if found.comparisons[label, name][metric][row]["shown"] == 1
    ]
    apart = []
    for one, other in combinations(found.names.values(), 2):
        cell = found.comparisons[one, other][metric][row]
        if cell["shown"]:
            first, second = (one, other) if cell["shown"] == 1 else (other, one)
            apart.append(f"{first} over {second}")
    helped = ", ".join(f"`{name}`" for name in better)
    return [
        f"On {row} the search is shown to help {helped}."
        if better
        else f"On {row} the search is not shown to help any method.",
        f"Among the tuned, shown to be better: {'; '.join(apart)}."
        if apart
        else "Among the tuned no difference is shown.",
    ]


def searched(study: Study) -> Tuned | None:
    """The tuned methods of a study; None without any."""
    asked = [a for a in study.settings["ablations"] if TRIALS in a["set"]]
    if not asked:
        return None
    names = {a["method"]: a["label"] for a in asked}
    frames = {name: study.frames[name] for name in names}
    frames |= {a["label"]: study.predictions(a["name"]) for a in asked}
    pairs = [*combinations(names.values(), 2), *((label, name) for name, label in names.items())]
    same = [
        name
        for method in deterministic(study.settings)
        if method in names
        for name in (method, names[method])
    ]
    return Tuned(
        names,
        min(a["set"][TRIALS] for a in asked),
        {name: summarise(own, study.task) for name, own in frames.items()},
        compare_pairs(frames, pairs, study.task, deterministic=same),
    )


def section(study: Study) -> Section:
    """What the search came to in this study, and every number of it."""
    found = searched(study)
    made = tuned_section(found, study.task, cluster=study.cluster)
    if found is None:
        return made
    table = pd.concat([long_table(own, method=name) for name, own in found.summaries.items()])
    return replace(made, files={"tuned.md": made.markdown(study.dataset), "tuned.csv": table})


ANALYSIS = Analysis(section)
