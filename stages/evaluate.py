"""Answer the test utterances of every fold under every condition, and score the answers."""

from typing import Any

from cmarr.data.load import by_id, load_features, load_store
from cmarr.device import choose_device
from cmarr.evaluation.folds import fold_table
from cmarr.evaluation.predictions import predictions_frame, predictions_path, usable_counts, write_predictions
from cmarr.evaluation.summary import long_table, summarise
from cmarr.files import atomic, write_json
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
    frames = []
    for fold in read_folds(paths.folds):
        store = load_store(fold.test, utterances, features, task).to(device)
        test = [utterances[i] for i in fold.test]
        truth: Any = [u.score if task.regression else u.label for u in test]
        for seed in settings["seeds"]:
            model = load_model(paths.models(name) / f"fold{fold.number}-seed{seed}.safetensors", device)
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
    with atomic(paths.metrics / f"{name}.csv") as temporary:
        long_table(summary, method=name).to_csv(temporary, index=False)
    with atomic(paths.metrics / name / "folds.csv") as temporary:
        fold_table(frames, task).to_csv(temporary, index=False)
    for condition, rows in confusion_rows(frames, task).groupby("condition"):
        with atomic(paths.metrics / name / "confusion" / f"{condition}.csv") as temporary:
            rows[["actual", "predicted"]].to_csv(temporary, index=False)


if __name__ == "__main__":
    run(main)
