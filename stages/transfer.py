"""Predict another corpus with the trained models, and measure how consistent they are there and at home."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from cmarr.analyses.crossing import consistency
from cmarr.data.load import as_trained, by_id, load_store
from cmarr.data.store import Store
from cmarr.device import choose_device
from cmarr.errors import many
from cmarr.evaluation.predictions import (
    NORMALISE,
    predictions_frame,
    predictions_path,
    usable_counts,
    utterance_columns,
    write_predictions,
)
from cmarr.features.shards import load_features
from cmarr.folds.files import Fold, read_folds
from cmarr.methods.inference import representations, split_logits
from cmarr.methods.model import Model, load_model
from cmarr.methods.protocol import Represents
from cmarr.modalities import CONDITIONS
from cmarr.seals import write_frame
from cmarr.task import Task
from stages.paths import Paths
from stages.stage import run


class Corpus:
    """One corpus, ready to be put before models that were trained on another or on itself."""

    def __init__(self, name: str, cluster: str, task: Task, device: str):
        self.name, self.cluster, self.task, self.device = name, cluster, task, device
        self.utterances, self.features = by_id(Paths(name).manifest), load_features(Paths(name).features)

    def predicted(self, model: Model, ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The keywords that `predictions_frame` and `consistency` take, of what `model` predicts for `ids`."""
        features = as_trained(self.features, model.widths_read, self.name)
        store = load_store(ids, self.utterances, features, self.task).to(self.device)
        available = store.available.cpu().numpy()
        about = utterance_columns([self.utterances[i] for i in ids], self.cluster, self.task)
        logits = {
            c: v.numpy() for c, v in split_logits(model.method, model.normaliser, store, CONDITIONS).items()
        }
        shared = {"ids": about["ids"], "clusters": about["clusters"], "logits": logits, "task": self.task}
        rest = {"n_usable": usable_counts(available), "prior": model.prior.tolist()}
        return about | shared | rest, shared | {"available": available, "vectors": _vectors(model, store)}


def _vectors(model: Model, store: Store) -> dict[str, Any] | None:
    if not isinstance(model.method, Represents):
        return None
    return representations(model.method, model.normaliser, store)


def _models(paths: Paths, settings: dict[str, Any], device: str) -> Iterator[tuple[str, Fold, int, Model]]:
    """Method, fold, seed and model; what a method starts from as '<method>, its teacher' where it has vectors."""
    for name, first in settings["methods"].items():
        for fold in read_folds(paths.folds):
            for seed in settings["seeds"]:
                file = f"fold{fold.number}-seed{seed}.safetensors"
                yield name, fold, seed, load_model(paths.models(name) / file, device)
                if first:
                    teacher = load_model(paths.pretrained(first) / file, device)
                    if isinstance(teacher.method, Represents):
                        yield f"{name}, its teacher", fold, seed, teacher


def main(dataset: str, other: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"transfer/{other}")
    task, device = Task(tuple(settings["classes"])), choose_device(settings["device"])
    home, away = (Corpus(name, settings["clusters"][name], task, device) for name in (dataset, other))
    target, consistent = paths.predictions(f"cross.{other}"), []
    for name, fold, seed, model in _models(paths, settings, device):
        for corpus, ids in ((home, fold.test), (away, list(away.utterances))):
            columns, compared = corpus.predicted(model, ids)
            of = {"model": name, "corpus": corpus.name, "fold": fold.number, "seed": seed}
            consistent.append(consistency(**compared).assign(**of))
            if corpus is away and name in settings["methods"]:
                frame = predictions_frame(fold=fold.number, seed=seed, **columns)
                frame.attrs[NORMALISE] = model.normaliser.how
                write_predictions(predictions_path(target / name, fold.number, seed), frame, task)
    write_frame(target / "consistency.parquet", pd.concat(consistent, ignore_index=True))
    print(
        f"{other}: {many(len(away.utterances), 'utterance')} answered by {dataset}'s {', '.join(settings['methods'])}"
    )


if __name__ == "__main__":
    run(main)
