"""`train.refit`: the epoch is chosen on validation data, then all of training and validation data is learnt from."""

import json

import pytest
import torch

from cmarr.data.normalise import Normaliser
from cmarr.folds.files import Fold, read_folds, write_folds
from cmarr.methods.model import load_model
from cmarr.report.notes import describe_selection
from cmarr.task import Task
from cmarr.training.job import run_job
from cmarr.training.loop import fit
from stages import evaluate, train
from tests.training.conftest import TRAIN
from tests.training.test_loop import OPTIONS, InStages, Pooled, same, store

SMALL = {"d": 8, "length": 2, "heads": 2}
STAGED = {**SMALL, "flow_steps": 1, "blocks": 1, "staged": True, "gradient_shares": False}


class TestLoop:
    """On the data that the epoch was chosen with, the second training ends where the first one was best."""

    @pytest.mark.parametrize("kind", [Pooled, InStages])
    @pytest.mark.parametrize("schedule", ["constant", "linear", "plateau"])
    def test_it_repeats_the_course_of_the_training_that_chose(self, kind, schedule):
        def trained(validation, **how):
            torch.manual_seed(0)
            method = kind()
            options = {**OPTIONS, "epochs": 16, "patience": 4, "lr": 0.05, "schedule": schedule, "plateau": 1}
            normaliser = Normaliser(dict.fromkeys("svt", 4))
            return method, fit(method, normaliser, store(30, 0), validation, **options | how)

        first, chosen = trained(store(20, 1))
        assert chosen.epoch > chosen.best_epoch  # it went on, and came back
        second, progress = trained(None, again=chosen.kept)
        assert same(first, second)
        assert progress.epoch == sum(epochs for epochs, _ in chosen.kept)
        assert not any(name.startswith("validation") for curve in progress.curves for name in curve)


def fold_one(corpus) -> Fold:
    fold = read_folds(corpus.root / "data/tiny/folds.parquet")[0]
    write_folds(corpus.root / "data/tiny/folds.parquet", [fold])
    return fold


def trained(corpus, method="masked", settings=SMALL, **changes):
    corpus.settings(method, settings, train={**TRAIN, **changes})
    train.main("tiny", method)
    cost = json.loads((corpus.root / f"metrics/tiny/{method}/cost.json").read_text())
    model = corpus.root / f"data/tiny/models/{method}/fold1-seed0.safetensors"
    curves = (corpus.root / f"metrics/tiny/{method}/curves.csv").read_text().splitlines()
    return model, cost["trainings"][0], curves


class TestStage:
    def test_another_model_under_the_same_scores(self, corpus):
        fold_one(corpus)
        plain, told, curves = trained(corpus)
        before = plain.read_bytes()
        again, told_again, curves_again = trained(corpus, refit=True)
        assert again.read_bytes() != before
        assert told_again["best_epoch"] == told["best_epoch"]
        assert [line for line in curves_again if ",refit/" not in line] == curves
        assert [line for line in curves_again if ",refit/loss/cls," in line]
        evaluate.main("tiny", "masked")

    def test_it_is_the_training_on_both_parts(self, corpus):
        """For one epoch there is nothing to choose, so a fold that trains on both gives the same weights."""
        fold = fold_one(corpus)
        refitted = load_model(trained(corpus, refit=True, epochs=1)[0])
        both = Fold(1, [*fold.train, *fold.validation], fold.test[1:], fold.test[:1])
        write_folds(corpus.root / "data/tiny/folds.parquet", [both])
        straight = load_model(trained(corpus, epochs=1)[0])
        for part in ("method", "normaliser"):
            assert same(getattr(refitted, part), getattr(straight, part))
        assert torch.equal(refitted.prior, straight.prior)

    def test_what_is_tested_has_no_part_in_it(self, corpus):
        fold = fold_one(corpus)
        whole = trained(corpus, refit=True)[0].read_bytes()
        write_folds(
            corpus.root / "data/tiny/folds.parquet", [Fold(1, fold.train, fold.validation, fold.test[:1])]
        )
        assert trained(corpus, refit=True)[0].read_bytes() == whole

    def test_every_stage_of_a_method_is_repeated(self, corpus):
        fold_one(corpus)
        _, told, curves = trained(corpus, "cmarr", STAGED, refit=True, epochs=8)
        epochs = {int(line.split(",")[2]) for line in curves if ",refit/loss/" in line}
        assert epochs == set(range(1, told["best_epoch"] + 1))  # two of alignment, two of recovery, and on

    def test_a_closed_form_is_fitted_on_both_parts(self, corpus):
        fold_one(corpus)
        alone = {"learn_from": "training"}
        plain = load_model(trained(corpus, "linear", alone)[0])
        refitted = load_model(trained(corpus, "linear", alone, refit=True)[0])
        assert not torch.equal(plain.method.weight, refitted.method.weight)

    @pytest.mark.parametrize("name", ["linear", "gaussian", "recovered", "gbdt"])
    def test_a_closed_form_learns_from_both_unless_told_not_to(self, corpus, name):
        fold = fold_one(corpus)
        found = load_model(trained(corpus, name, {})[0]).method.state_dict()
        everyone = Fold(1, [*fold.train, *fold.validation], fold.test[1:], fold.test[:1])
        write_folds(corpus.root / "data/tiny/folds.parquet", [everyone])
        straight = load_model(trained(corpus, name, {"learn_from": "training"})[0]).method.state_dict()
        for key in found.keys() - {"temperature", "distances"}:  # which validation speakers give, otherwise
            assert torch.equal(found[key], straight[key]), key

    def test_what_a_closed_form_chose_on_validation_data_stays(self, corpus):
        fold_one(corpus)
        alone = {"learn_from": "training"}
        plain, told, curves = trained(corpus, "gaussian", alone)
        again, told_again, _ = trained(corpus, "gaussian", alone, refit=True)
        chosen = load_model(plain).method.temperature
        assert chosen != 1.0
        assert load_model(again).method.temperature == chosen
        assert told["best_epoch"] == told_again["best_epoch"] == 1
        assert [line for line in curves if ",diagnostic/unexplained/st-v," in line]

    @pytest.mark.parametrize("killed_after", [1, 3, 4])
    def test_killed_in_either_training_it_goes_on_to_the_same_bytes(self, corpus, monkeypatch, killed_after):
        fold_one(corpus)
        monkeypatch.setattr("cmarr.training.loop.SAVE_EVERY", 0.0)
        ticks = []
        monkeypatch.setattr(
            "cmarr.training.trainings.run_job", lambda job, tick: run_job(job, lambda: ticks.append(1))
        )
        model, told, _ = trained(corpus, refit=True, epochs=3, lr=1e-9)  # nothing improves: epoch 1 is kept
        whole, all_ticks = model.read_bytes(), len(ticks)
        assert all_ticks == 3 + told["best_epoch"]

        class Kill(Exception):
            pass

        def kill():
            ticks.append(1)
            if len(ticks) == killed_after:
                raise Kill

        ticks.clear()
        monkeypatch.setattr("cmarr.training.trainings.run_job", lambda job, tick: run_job(job, kill))
        with pytest.raises(Kill):
            trained(corpus, refit=True, epochs=3, lr=1e-9)
        model.unlink()
        monkeypatch.setattr(
            "cmarr.training.trainings.run_job", lambda job, tick: run_job(job, lambda: ticks.append(1))
        )
        trained(corpus, refit=True, epochs=3, lr=1e-9)
        assert len(ticks) == all_ticks  # none twice
        assert model.read_bytes() == whole


def test_a_table_says_so():
    usual = {"selection": "mean7", "selection_folds": 1, "refit": False, "methods": []}
    assert "trained anew" not in describe_selection(usual, Task())
    assert describe_selection(usual | {"refit": True}, Task()).endswith(
        "on training and validation data together."
    )
    assert "3 groups of speakers chose in turn" in describe_selection(usual | {"selection_folds": 3}, Task())
