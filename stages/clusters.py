"""Measure how well a model's representations part the classes, on the test utterances of every fold."""

import numpy as np
import pandas as pd

from cmarr.data.load import by_id, load_store, without_modalities
from cmarr.device import choose_device
from cmarr.errors import UserError
from cmarr.evaluation.clusters import silhouettes
from cmarr.features.shards import load_features
from cmarr.files import atomic
from cmarr.folds.files import read_folds
from cmarr.methods.inference import representations
from cmarr.methods.model import load_model
from cmarr.modalities import CONDITIONS, visible
from cmarr.report.clusters import place
from cmarr.task import Task
from stages.paths import Paths
from stages.stage import run

DRAWN = 80
"""Utterances of the first fold that are drawn, at most; each stands in every condition that it can meet."""


def main(dataset: str, name: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"clusters/{name}")
    task = Task(tuple(settings["classes"]))
    utterances, features = by_id(paths.manifest), load_features(paths.features)
    device = choose_device(settings["device"])
    measured: list[pd.DataFrame] = []
    points: pd.DataFrame | None = None
    for fold in read_folds(paths.folds):
        empty = set(without_modalities(fold.test, features))
        ids = np.array([i for i in fold.test if i not in empty])
        store = load_store(list(ids), utterances, features, task).to(device)
        labels = np.array(
            [_category(utterances[i].score if task.regression else utterances[i].label) for i in ids]
        )
        clusters = np.array([utterances[i].cluster(settings["cluster"]) for i in ids])
        present = store.available.cpu().numpy()
        met = {c: np.asarray(present[:, np.array(visible(c))].all(1)) for c in CONDITIONS}
        for seed in settings["seeds"]:
            model = load_model(paths.models(name) / f"fold{fold.number}-seed{seed}.safetensors", device)
            found = representations(model.method, model.normaliser, store)
            for condition, vectors in found.items():
                rows = met[condition]
                values = silhouettes(vectors[rows], labels[rows])
                if len(values):
                    about = {"condition": condition, "fold": fold.number, "seed": seed}
                    frame = pd.DataFrame({"id": ids[rows], "cluster": clusters[rows], "silhouette": values})
                    measured.append(frame.assign(**about))
            if points is None:
                points = _points(found, met, ids, labels)
    if not measured or points is None:
        raise UserError(f"{dataset}: no test fold has two classes of which one has two utterances")
    folder = paths.predictions(f"{name}.clusters")
    for file, table in (("measured", pd.concat(measured, ignore_index=True)), ("points", points)):
        with atomic(folder / f"{file}.parquet") as temporary:
            table.to_parquet(temporary)


def _category(label: str | float | None) -> str:
    """The class; of a score its sign."""
    if isinstance(label, str):
        return label
    return "negative" if float(label or 0) < 0 else "positive" if float(label or 0) > 0 else "zero"


def _points(
    found: dict[str, np.ndarray], met: dict[str, np.ndarray], ids: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """A map of the first fold and seed, all conditions in one: every training has a space of its own."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(ids))[:DRAWN])
    rows = {c: chosen[met[c][chosen]] for c in found}
    everything = np.concatenate([found[c][own] for c, own in rows.items()])
    if len(everything) < 4:
        return pd.DataFrame(columns=["condition", "id", "label", "x", "y"])
    xy = place(everything)
    about = [(c, ids[i], labels[i]) for c, own in rows.items() for i in own]
    return pd.DataFrame(about, columns=["condition", "id", "label"]).assign(x=xy[:, 0], y=xy[:, 1])


if __name__ == "__main__":
    run(main)
