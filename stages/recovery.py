"""Measure how near what a model recovers comes to the truth, on the test utterances of every fold."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cmarr.data.load import by_id, load_store, without_modalities
from cmarr.device import choose_device
from cmarr.errors import UserError
from cmarr.evaluation.recovery import Pair, measure, ridge_answer
from cmarr.features.shards import load_features
from cmarr.files import atomic
from cmarr.folds.files import read_folds
from cmarr.methods.inference import Recoveries, recoveries
from cmarr.methods.model import load_model
from cmarr.report.recovery import DRAWN, embed
from cmarr.task import Task
from cmarr.utterance import Utterance
from stages.paths import Paths
from stages.stage import run


def main(dataset: str, name: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"recovery/{name}")
    task = Task(tuple(settings["classes"]))
    utterances, features = by_id(paths.manifest), load_features(paths.features)
    device = choose_device(settings["device"])
    measured: list[pd.DataFrame] = []
    points: list[pd.DataFrame] = []
    for fold in read_folds(paths.folds):
        empty = set(without_modalities([*fold.train, *fold.test], features))
        for seed in settings["seeds"]:
            model = load_model(paths.models(name) / f"fold{fold.number}-seed{seed}.safetensors", device)
            train, test = (
                recoveries(
                    model.method,
                    model.normaliser,
                    load_store([i for i in ids if i not in empty], utterances, features, task).to(device),
                )
                for ids in (fold.train, fold.test)
            )
            ids = [i for i in fold.test if i not in empty]
            run_of = {"fold": fold.number, "seed": seed}
            measured += [
                frame.assign(**run_of)
                for frame in _measured(train, test, ids, utterances, settings["cluster"])
            ]
            if not points:
                points = _points(test, ids)
    if not measured:
        raise UserError(f"{dataset}: no two utterances have a modality and another one to recover it from")
    folder = paths.predictions(f"{name}.recovery")
    for file, frames in (("measured", measured), ("points", points)):
        with atomic(folder / f"{file}.parquet") as temporary:
            pd.concat(frames, ignore_index=True).to_parquet(temporary)


def _measured(
    train: Recoveries, test: Recoveries, ids: Sequence[str], utterances: Mapping[str, Utterance], kind: str
) -> list[pd.DataFrame]:
    frames = []
    for (sources, missing), recovered in test.recovered.items():
        rows, known = test.rows(sources, missing), train.rows(sources, missing)
        if len(rows) < 2 or len(known) < 2:
            continue
        ridge = ridge_answer(
            [train.truths[m][known] for m in sources],
            train.truths[missing][known],
            [test.truths[m][rows] for m in sources],
        )
        named = [utterances[ids[i]] for i in rows]
        agrees = test.agrees(sources, missing, rows)
        pair = Pair(sources, missing, test.truths[missing][rows], recovered[rows], ridge, agrees)
        clusters = [u.cluster(kind) for u in named]
        frames.append(measure(pair).assign(id=[u.id for u in named], cluster=clusters))
    return frames


def _points(test: Recoveries, ids: Sequence[str]) -> list[pd.DataFrame]:
    """Figure 5's points: of the first fold and seed, because every training has a space of its own."""
    frames = []
    for (sources, missing), recovered in test.recovered.items():
        rows = test.rows(sources, missing)
        if len(sources) + 1 < len(test.truths) or missing not in DRAWN or len(rows) < 4:
            continue
        placed: Any = embed(recovered[rows].mean(1), test.truths[missing][rows].mean(1))
        for kind, xy in zip(("recovered", "true"), placed, strict=True):
            frames.append(
                pd.DataFrame(
                    {
                        "missing": missing,
                        "kind": kind,
                        "id": [ids[i] for i in rows],
                        "x": xy[:, 0],
                        "y": xy[:, 1],
                    }
                )
            )
    return frames


if __name__ == "__main__":
    run(main)
