"""Answer the test utterances of every fold under every condition, and score the answers."""

from typing import Any

import pandas as pd

from cmarr.data.load import by_id, load_features, load_store
from cmarr.device import choose_device
from cmarr.evaluation.calibration import calibration, reliability
from cmarr.evaluation.folds import fold_table
from cmarr.evaluation.importance import importance
from cmarr.evaluation.predictions import predictions_frame, predictions_path, usable_counts, write_predictions
from cmarr.evaluation.selective import risk_coverage, selective
from cmarr.evaluation.summary import long_table, summarise
from cmarr.files import write_csv, write_json
from cmarr.folds.files import read_folds
from cmarr.methods.inference import answer
from cmarr.methods.model import load_model
from cmarr.methods.protocol import Task
from cmarr.modalities import CONDITIONS
from cmarr.report.confusion import confusion_rows
from stages.paths import Paths
from stages.stage import run


def main(dataset: str, name: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(name)
    task = Task(tuple(settings["classes"]))
    utterances, features = by_id(paths.manifest), load_features(paths.features)
    device = choose_device(settings["device"])
    frames, priors = [], {}
    for fold in read_folds(paths.folds):
        store = load_store(fold.test, utterances, features, task).to(device)
        test = [utterances[i] for i in fold.test]
        truth: Any = [u.score if task.regression else u.label for u in test]
        for seed in settings["seeds"]:
            model = load_model(paths.models(name) / f"fold{fold.number}-seed{seed}.safetensors", device)
            priors[fold.number] = model.prior.tolist()
            frame = predictions_frame(
                ids=fold.test,
                speakers=[u.speaker for u in test],
                clusters=[u.cluster(settings["cluster"]) for u in test],
                labels=truth,
                n_usable=usable_counts(store.available.cpu().numpy()),
                logits={
                    c: v.numpy() for c, v in answer(model.method, model.normaliser, store, CONDITIONS).items()
                },
                prior=model.prior.tolist(),
                task=task,
                fold=fold.number,
                seed=seed,
            )
            write_predictions(predictions_path(paths.predictions(name), fold.number, seed), frame, task)
            frames.append(frame)
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


if __name__ == "__main__":
    run(main)
