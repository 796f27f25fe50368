"""Answer the test utterances of every fold under every protocol, and score the answers."""

from typing import Any

import pandas as pd

from cmarr.damage.tables import read_damaged, read_levels
from cmarr.data.load import by_id, load_store
from cmarr.data.masks import drawn_from
from cmarr.device import choose_device
from cmarr.evaluation.calibration import calibration, reliability
from cmarr.evaluation.importance import importance
from cmarr.evaluation.predicting import damaged_predictions, predictions_of, protocol_predictions
from cmarr.evaluation.predictions import predictions_path, utterance_columns, write_predictions
from cmarr.evaluation.robustness import damage_summaries, protocol_json, protocol_summaries, protocol_table
from cmarr.evaluation.selective import risk_coverage, selective
from cmarr.evaluation.spread import SPREAD, spread_frame, write_spread
from cmarr.evaluation.summary import fold_table, long_table, summarise
from cmarr.features.shards import load_features
from cmarr.files import write_csv, write_json
from cmarr.folds.files import read_folds
from cmarr.masks.files import read_description, read_masks
from cmarr.masks.protocols import FIXED, MASKED
from cmarr.methods.inference import spreads
from cmarr.methods.model import load_model
from cmarr.methods.protocol import ClosedForm
from cmarr.modalities import COMPLETE, CONDITIONS
from cmarr.report.confusion import confusion_rows
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
    task = Task(tuple(settings["classes"]))
    utterances, features = by_id(paths.manifest), load_features(paths.features)
    device = choose_device(settings["device"])
    damaged = read_damaged(paths.data / "damaged", features)
    described = read_description(paths.masks)
    masks = {own: read_masks(paths.masks, own) for own in MASKED if own in described["protocols"]}
    everything, doubts, priors, closed_form = [], [], {}, False
    for fold in read_folds(paths.folds):
        store = load_store(fold.test, utterances, features, task).to(device)
        about = utterance_columns([utterances[i] for i in fold.test], settings["cluster"], task)
        for seed in settings["seeds"]:
            model = load_model(paths.models(name) / f"fold{fold.number}-seed{seed}.safetensors", device)
            priors[fold.number] = model.prior.tolist()
            run_of = {"fold": fold.number, "seed": seed}
            predict = predictions_of(model, fold.number, seed=seed, **about)
            parts = list(protocol_predictions(predict, store, masks, fold.number))
            if damaged:
                rows, spread = damaged_predictions(predict, model, store, damaged, run_of)
                parts += rows
                calm = load_store(fold.validation, utterances, features, task).to(device)
                for role, clean in (("test", store), ("validation", calm)):
                    found = spreads(model.method, model.normaliser, clean)
                    spread.append(spread_frame(clean.ids, found, role, **run_of))
                doubts += spread
            frame = pd.concat(parts, ignore_index=True)
            write_predictions(predictions_path(paths.predictions(name), fold.number, seed), frame, task)
            everything.append(frame)
            closed_form = isinstance(model.method, ClosedForm)
    if doubts:
        write_spread(paths.predictions(name) / SPREAD, doubts)
    frames = [frame[frame["protocol"] == FIXED] for frame in everything]
    summary = summarise(frames, task)
    write_json(paths.metrics / f"{name}.json", summary)
    folder = paths.metrics / name
    write_csv(paths.metrics / f"{name}.csv", long_table(summary, method=name))
    write_csv(folder / "folds.csv", fold_table(frames, task))
    write_csv(folder / "calibration.csv", reliability(frames, task))
    measures = pd.concat([calibration(frames, task), selective(frames, task)])
    write_csv(folder / "calibration_scores.csv", measures)
    write_csv(folder / "risk_coverage.csv", risk_coverage(frames, task))
    write_csv(folder / "importance.csv", importance(frames, task, priors))
    for condition, rows in confusion_rows(frames, task).groupby("condition"):
        write_csv(folder / "confusion" / f"{condition}.csv", rows[["actual", "predicted"]])

    shown = shown_in_training(settings, closed_form) if described["unseen"] else None
    summaries = protocol_summaries(everything, task, masks, shown)
    realised = {
        protocol: {level["level"]: level["realised"] for level in own["levels"]}
        for protocol, own in described["protocols"].items()
    }
    damage = damage_summaries(everything, task, damaged)
    realised |= {
        kind: {level["level"]: level["realised"] for level in told if "realised" in level}
        for kind in damaged
        for told in [read_levels(paths.damaged(kind))["levels"]]
    }
    write_csv(folder / "protocols.csv", protocol_table(name, summary, summaries, realised, damage))
    write_json(folder / "protocols.json", protocol_json(summaries, described, shown))


if __name__ == "__main__":
    run(main)
