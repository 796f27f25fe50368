"""Predict the test utterances of every fold under every protocol, and measure the predictions."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Evaluated
from cmarr.analyses.every import ANALYSES
from cmarr.damage.tables import read_levels
from cmarr.data.masks import drawn_from
from cmarr.evaluation.predictions import PRIVILEGES
from cmarr.evaluation.spread import SPREAD, write_spread
from cmarr.evaluation.summary import headline, long_table
from cmarr.evaluation.units import Evaluation
from cmarr.execution.jobs import device_of
from cmarr.files import write_csv, write_json
from cmarr.folds.privileges import WORD, told
from cmarr.masks.files import read_description
from cmarr.modalities import COMPLETE, CONDITIONS
from cmarr.report.page import write_files
from cmarr.seals import LIST, write_list
from cmarr.task import Task
from stages.paths import Paths, cluster_of
from stages.stage import run


def shown_in_training(settings: dict[str, Any], closed_form: bool) -> list[str]:
    """The conditions that a method saw while it trained: those of its masks, and complete data where it starts from a
    model of them or is taught by its own complete view."""
    if closed_form:  # fits all seven, whatever the section `train` says
        return list(CONDITIONS)
    teacher = settings["settings"].get("teacher")
    shown = {
        *drawn_from(settings["train"]["mask_conditions"]),
        *([COMPLETE] if settings["starts_from"] or teacher in ("self", "average") else []),
    }
    return [c for c in CONDITIONS if c in shown]


def main(dataset: str, name: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"evaluate/{name}")
    found = predicted(paths, settings, name)
    scores = [
        paths.metrics / f"{name}.json",
        paths.metrics / f"{name}.csv",
        paths.metrics / name / "headline.json",
    ]
    taken = settings.get("privileges", ())
    if taken:
        print(f"{name}: {told(taken)}")
    about = {**found.summary["meta"], **_marked(taken)}
    write_json(scores[0], {**found.summary, "meta": about})
    write_csv(scores[1], long_table(found.summary, method=name, **_marked(taken)))
    shown = headline(found.summary, found.task)
    write_json(
        scores[2], {name: {f"{WORD} {metric}": own for metric, own in shown.items()} if taken else shown}
    )
    for analysis in ANALYSES.values():
        files = analysis.measure(found)
        if taken:
            tables = {file: own for file, own in files.items() if isinstance(own, pd.DataFrame)}
            files = {**files, **{file: own.assign(**_marked(taken)) for file, own in tables.items()}}
        scores += write_files(paths.metrics / name, files)
    write_list(paths.metrics / name / f"{LIST}.evaluate", scores)


def _marked(privileges: Sequence[str]) -> dict[str, str]:
    """The column that every table of such a row has."""
    return {PRIVILEGES: " ".join(privileges)} if privileges else {}


def predicted(paths: Paths, settings: dict[str, Any], name: str) -> Evaluated:
    """What every model of a method predicts; written to its predictions, and what they are known by."""
    task, cluster = Task(tuple(settings["classes"])), cluster_of(paths.settings("run"))
    evaluation = Evaluation(
        label=f"evaluate-{paths.dataset}-{name}",
        models=paths.models(name),
        manifest=paths.manifest,
        features=paths.features,
        damaged=paths.damaged(),
        folds=paths.folds,
        masks=paths.masks,
        predictions=paths.predictions(name),
        task=task,
        seeds=settings["seeds"],
        resampled=settings["cluster"],
        device=device_of(settings["device"], cluster),
        privileged=bool(settings.get("privileges")),
    )
    described, every = read_description(paths.masks), list(evaluation.answers(cluster))
    if doubts := [frame for one in every for frame in one.spread]:
        write_spread(paths.predictions(name) / SPREAD, doubts)
    last = every[-1]
    return Evaluated(
        name,
        task,
        [one.frame for one in every],
        {one.fold: one.prior for one in every},
        described,
        shown_in_training(settings, last.closed_form) if described["unseen"] else None,
        realised(paths, described, last.damaged),
        last.damaged,
    )


def realised(
    paths: Paths, described: dict[str, Any], damaged: Sequence[str]
) -> dict[str, dict[float, float]]:
    """Protocol or kind of damage -> level -> what it really came to, where that is known."""
    levels = {protocol: own["levels"] for protocol, own in described["protocols"].items()}
    levels |= {kind: read_levels(paths.damaged(kind))["levels"] for kind in damaged}
    return {
        name: {row["level"]: row["realised"] for row in rows if "realised" in row}
        for name, rows in levels.items()
    }


if __name__ == "__main__":
    run(main)
