"""Predict the test utterances of every fold under every protocol, and measure the predictions."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Evaluated
from cmarr.analyses.every import ANALYSES
from cmarr.damage.tables import Damaged, read_damaged, read_levels
from cmarr.data.load import by_id, load_store
from cmarr.data.masks import drawn_from
from cmarr.device import choose_device
from cmarr.evaluation.predicting import damaged_predictions, runs
from cmarr.evaluation.predictions import NORMALISE, PRIVILEGES, predictions_path, write_predictions
from cmarr.evaluation.spread import SPREAD, spread_frame, write_spread
from cmarr.evaluation.summary import headline, long_table
from cmarr.features.shards import load_features
from cmarr.files import write_csv, write_json
from cmarr.folds.files import read_folds
from cmarr.folds.privileges import WORD, told
from cmarr.masks.files import read_description, read_masks
from cmarr.masks.protocols import MASKED
from cmarr.methods.inference import spreads
from cmarr.methods.protocol import ClosedForm
from cmarr.modalities import COMPLETE, CONDITIONS
from cmarr.report.page import write_files
from cmarr.seals import LIST, write_list
from cmarr.task import Task
from stages.paths import Paths
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
    task, device = Task(tuple(settings["classes"])), choose_device(settings["device"])
    utterances, features = by_id(paths.manifest), load_features(paths.features)
    damaged, described = read_damaged(paths.data / "damaged", features), read_description(paths.masks)
    masks = {own: read_masks(paths.masks, own) for own in MASKED if own in described["protocols"]}
    everything, doubts, priors, closed_form = [], [], {}, False
    for one in runs(
        paths.models(name),
        paths.manifest,
        features,
        read_folds(paths.folds),
        settings["seeds"],
        task=task,
        cluster=settings["cluster"],
        masks=masks,
        device=device,
        privileged=bool(settings.get("privileges")),
    ):
        fold, seed, model, parts = one.fold, one.seed, one.model, one.parts
        priors[fold.number] = model.prior.tolist()
        if damaged:
            run_of: dict[str, Any] = {"fold": fold.number, "seed": seed}
            rows, spread = damaged_predictions(one.predict, model, one.store, damaged, run_of)
            parts = [*parts, *rows]
            calm = load_store(fold.validation, utterances, features, task).to(device)
            for role, clean in (("test", one.store), ("validation", calm)):
                values = spreads(model.method, model.normaliser, clean)
                spread.append(spread_frame(clean.ids, values, role, **run_of))
            doubts += spread
        frame = pd.concat(parts, ignore_index=True)
        frame.attrs[NORMALISE] = model.normaliser.how
        frame.attrs[PRIVILEGES] = " ".join(model.description.get("privileges", ()))
        write_predictions(predictions_path(paths.predictions(name), fold.number, seed), frame, task)
        everything.append(frame)
        closed_form = isinstance(model.method, ClosedForm)
    if doubts:
        write_spread(paths.predictions(name) / SPREAD, doubts)
    return Evaluated(
        name,
        task,
        everything,
        priors,
        described,
        shown_in_training(settings, closed_form) if described["unseen"] else None,
        realised(paths, described, damaged),
        list(damaged),
    )


def realised(paths: Paths, described: dict[str, Any], damaged: Damaged) -> dict[str, dict[float, float]]:
    """Protocol or kind of damage -> level -> what it really came to, where that is known."""
    levels = {protocol: own["levels"] for protocol, own in described["protocols"].items()}
    levels |= {kind: read_levels(paths.damaged(kind))["levels"] for kind in damaged}
    return {
        name: {row["level"]: row["realised"] for row in rows if "realised" in row}
        for name, rows in levels.items()
    }


if __name__ == "__main__":
    run(main)
