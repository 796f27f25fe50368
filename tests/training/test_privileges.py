"""What authors allowed themselves can be measured, and happens to nobody by accident."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cmarr.corpora.manifest import read_manifest, write_manifest
from cmarr.data.load import by_id, load_store
from cmarr.errors import UserError
from cmarr.evaluation.comparison import compare
from cmarr.evaluation.predictions import (
    PRIVILEGES,
    privileges_of,
    read_folder,
    read_predictions,
    write_predictions,
)
from cmarr.features.shards import load_features
from cmarr.folds.files import read_folds
from cmarr.folds.privileges import MARK, TOLD, WORD, chosen_on_test
from cmarr.methods.described import read_description
from cmarr.methods.inference import split_logits
from cmarr.methods.model import load_model
from cmarr.modalities import CONDITIONS
from cmarr.recognition.trained import of_study
from cmarr.seals import read_json
from cmarr.task import Task
from cmarr.training import job as training
from cmarr.training.job import run_job
from stages import evaluate, mirrored, train
from stages.paths import Paths
from tests.report.studies import predictions
from tests.training.conftest import CLASSES, TRAIN, job_of

DATA = Path("data/tiny")
TASK = Task(tuple(CLASSES))


def job(folder, *privileges, method="masked", train=None, **changes):
    settings = {"d": 8, "length": 4, "heads": 2} if method == "masked" else {}
    changes |= {"train": TRAIN | (train or {}), "privileges": privileges}
    return job_of(method, folder, settings, **changes)


def trained(*given, **changes):
    """The outcome of a training, and its model."""
    own = job(*given, **changes)
    outcome = run_job(own, lambda: None)
    return outcome, load_model(own.folder / f"{own.name}.safetensors", privileged=bool(own.privileges))


def answers(model):
    utterances, features = by_id(DATA / "manifest.parquet"), load_features(DATA / "features")
    store = load_store(read_folds(DATA / "folds.parquet")[0].test, utterances, features, TASK)
    return split_logits(model.method, model.normaliser, store, CONDITIONS)


def turn_labels(ids):
    other = {CLASSES[0]: CLASSES[1], CLASSES[1]: CLASSES[0]}
    rows = read_manifest(DATA / "manifest.parquet")
    write_manifest(
        DATA / "manifest.parquet", [replace(u, label=other[u.label]) if u.id in ids else u for u in rows]
    )


def test_the_epoch_is_chosen_on_test_utterances_and_nothing_else_comes_from_them(corpus):
    plain, usual = trained("plain")
    before, model = trained("before", "test_epoch")
    turn_labels(read_folds(DATA / "folds.parquet")[0].test)
    after, _ = trained("after", "test_epoch")
    name = f"{WORD} validation/selection"
    assert all(b[name] != a[name] for b, a in zip(before["curves"], after["curves"], strict=True))
    loss = "loss/cls"
    assert [c[f"{WORD} {loss}"] for c in after["curves"]] == [c[loss] for c in plain["curves"]]
    torch.testing.assert_close(model.normaliser.state_dict(), usual.normaliser.state_dict(), rtol=0, atol=0)
    assert torch.equal(model.prior, usual.prior) and trained("again")[0]["curves"] == plain["curves"]


@pytest.mark.parametrize("privileges", [(), ("per_condition",), ("batch_masks",)])
@pytest.mark.parametrize("part", ["validation", "train"])
def test_a_training_that_reaches_for_test_utterances_without_the_privilege_is_refused(
    corpus, monkeypatch, part, privileges
):
    """Code that took the wrong part of a fold would be found out, twice."""
    honest = training._fold
    monkeypatch.setattr(training, "_fold", lambda own: chosen_on_test(honest(own), own.privileges))
    with pytest.raises(ValueError, match="without the privilege"):
        run_job(job("asked", *privileges), lambda: None)
    tested = read_folds(DATA / "folds.parquet")[0].test
    monkeypatch.setattr(training, "_fold", lambda own: replace(honest(own), **{part: tested[:3]}))
    with pytest.raises(ValueError, match="is a test utterance, and neither trains nor chooses"):
        run_job(job("taken", *privileges), lambda: None)


def test_no_privilege_lets_a_test_utterance_train(corpus, monkeypatch):
    honest = training._fold
    monkeypatch.setattr(training, "_fold", lambda own: replace(honest(own), train=honest(own).validation))
    with pytest.raises(ValueError, match="neither trains"):
        run_job(job("taken", "test_epoch"), lambda: None)


def test_each_condition_is_answered_by_the_training_on_it(corpus):
    outcome, model = trained("every", "per_condition")
    found = answers(model)
    assert outcome["parameters"] == 7 * trained("one")[0]["parameters"]
    assert outcome["epochs"] == 7 * TRAIN["epochs"] and set(outcome["conditions"]) == set(CONDITIONS)
    for condition in ("t", "sv", "svt"):
        own = {"mask_conditions": [condition], "selection": condition}
        alone, one = trained(condition, train=own)
        torch.testing.assert_close(answers(one)[condition], found[condition], rtol=0, atol=0)
        assert outcome["conditions"][condition]["best_score"] == alone["best_score"]


def test_a_privileged_model_is_no_model_to_use(corpus):
    trained("some", "test_epoch")
    path = Path("some/fold1-seed0.safetensors")
    for reads in (load_model, read_description):
        with pytest.raises(
            UserError, match=f"{path}: was trained {MARK}.*no model to use. Take masked itself"
        ):
            reads(path)
    with pytest.raises(UserError, match="no model to use"):
        run_job(job("next", starts_from=Path("some")), lambda: None)


@pytest.mark.parametrize(
    "change", [{"train": {"refit": True}}, {"train": {"selection_folds": 2}}, {"method": "linear"}]
)
def test_what_would_train_on_those_that_choose_is_refused(corpus, change):
    with pytest.raises(UserError, match=f"{MARK} .*one training by gradient descent"):
        run_job(job("refused", "test_epoch", **change), lambda: None)


def test_predictions_carry_their_privileges_and_are_compared_with_nothing(tmp_path):
    task = Task(("calm", "tense"))
    frame, other = predictions(task, 0, 1), predictions(task, 1, 1)
    frame.attrs[PRIVILEGES] = "test_epoch per_condition"
    write_predictions(tmp_path / "some.parquet", frame, task)
    found = read_predictions(tmp_path / "some.parquet")
    assert privileges_of(found) == ("test_epoch", "per_condition") and not privileges_of(other)
    for pair in ([found], [other]), ([other], [found]):
        with pytest.raises(UserError, match=f"{MARK} .*compared with nothing but"):
            compare(*pair, task)
    cell = compare([found], [other], task, privileged=True)["UAR"]["avg6"]
    assert np.isfinite(cell["difference"]) and set(privileges_of(found)) <= set(TOLD)


def test_every_file_and_line_of_such_a_row_says_so(corpus, capsys):
    own = {"d": 8, "length": 4, "heads": 2}
    corpus.settings("masked", own, file="row", privileges=["test_epoch"])
    train.main("tiny", "row")
    evaluate.main("tiny", "row")
    said = capsys.readouterr().out
    assert f"{MARK} (the epoch is chosen on the test utterances)" in said and f"{WORD} test score" in said
    folder = corpus.root / "metrics/tiny"
    (headline,) = json.loads((folder / "row/headline.json").read_text()).values()
    assert headline and all(metric.startswith(f"{WORD} ") for metric in headline)
    for file in (folder / "row.csv", folder / "row/folds.csv", folder / "row/calibration.csv"):
        assert set(pd.read_csv(file)["privileges"]) == {"test_epoch"}, file
    assert all(name.startswith(WORD) for name in pd.read_csv(folder / "row/curves.csv")["name"])
    assert json.loads((folder / "row.json").read_text())["meta"]["privileges"] == "test_epoch"
    cost = read_json(folder / "row/cost.json", "")["trainings"]
    assert all(one["privileges"] == ["test_epoch"] for one in cost)
    logged = mirrored._folds(Paths("tiny"), "row", cost, f"{WORD} ")
    assert all(
        name.startswith(f"{WORD} ")
        for fold in logged
        for name in (*fold.metrics, *(c[1] for c in fold.curves))
    )
    (frames,) = [read_folder(corpus.root / "data/tiny/predictions/row")]
    assert all(privileges_of(frame) == ("test_epoch",) for frame in frames)
    with pytest.raises(UserError, match="no model to use"):
        of_study("tiny", "row", root=corpus.root)
