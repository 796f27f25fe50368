"""A study in a few lines: a corpus, a method, scores, a comparison, a model that predicts and is saved."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import cmarr
from cmarr.report.inline import Plot
from cmarr.training.job import run_job

from .conftest import CLASSES, arrays


def test_arrays_become_a_corpus(corpus):
    assert len(corpus) == 90 and corpus.task.classes == CLASSES
    assert len(corpus.folds) == 5 and corpus.cluster == "speaker"
    assert "calm 30, glad 30, tense 30" in str(corpus) and "no speaker on two sides" in str(corpus)
    assert {m: len(table.ids) for m, table in corpus.tables.items()} == {"s": 90, "t": 67}


def test_a_method_is_trained_scored_and_shown(model):
    results = cmarr.evaluate(model)
    assert results.scores.query("metric == 'UAR' and condition == 's'")["mean"].item() > 0.8
    assert list(results.table["available"])[:2] == ["t", "s"] and "gaussian" in results.table
    assert len(results.predictions) == 90 * 7
    assert "WAR / UAR in %" in str(results) and "<table" in results._repr_html_()
    plot = results.plot()
    assert plot._repr_png_().startswith(b"\x89PNG") and isinstance(plot.figure, Figure)


def test_two_methods_are_compared_on_the_same_utterances(corpus, model):
    late = cmarr.train(corpus, "late")
    found = cmarr.compare(model, late, metric="WAR")
    assert found.title == "arrays: gaussian - late"
    assert list(found.table.columns)[:4] == ["available", "gaussian", "late", "difference"]
    assert "WAR in %" in str(found) and "<table" in found._repr_html_()
    assert cmarr.compare(model, model).table is None
    both = cmarr.evaluate(model, late)
    assert list(both.frames) == ["gaussian", "late"] and list(both.comparisons) == [("gaussian", "late")]
    assert str(cmarr.compare(both, metric="WAR")) == str(found)
    with pytest.raises(cmarr.UserError, match=r"compare two models, or the results of one each"):
        cmarr.compare(both, late)
    with pytest.raises(cmarr.UserError, match=r"no metric is called 'WARR' here.*did you mean 'WAR'"):
        cmarr.compare(model, late, metric="WARR")


def test_the_model_predicts_and_is_saved_with_its_scores(model, tmp_path):
    cmarr.evaluate(model)
    given = arrays()
    features = {"speech": given["speech"][0], "text": given["text"][1]}
    assert model.predict(features=features, hide="text").used == ("speech",)
    prediction = model.predict(features=features)
    assert set(prediction.probabilities) == set(CLASSES) and prediction.used == ("speech", "text")
    folder = model.save(tmp_path / "model")
    assert (
        "| svt |" in (folder / "README.md").read_text()
        and "5 folds and 1 seed" in (folder / "README.md").read_text()
    )
    again = cmarr.Recognizer.from_pretrained(folder, keep=False)
    assert (
        again.predict(features={m: np.atleast_2d(v) for m, v in features.items()}).probabilities
        == prediction.probabilities
    )


def test_the_numbers_are_those_of_the_stages_functions(corpus, model, tmp_path):
    """The file that `train` leaves is, byte by byte, the one that a training job of the pipeline writes."""
    from cmarr.study.model import _trainings

    trainings = _trainings(corpus, "again", model.settings, "cpu", 1)
    job = trainings.job(tmp_path, 1, 0, 0)
    run_job(job, lambda: None)
    name = f"{job.name}.safetensors"
    assert (tmp_path / name).read_bytes() == (model.models / name).read_bytes()


def test_settings_are_those_of_params_yaml_and_checked_as_they_are(corpus):
    other = cmarr.train(corpus, shrink=0.9)
    assert (other.name, other.settings["settings"]["shrink"]) == ("gaussian-2", 0.9)
    assert cmarr.train(corpus, shrink=0.9).name == "gaussian-2"
    for wrong, message in (
        ({"method": "gausian"}, "did you mean 'gaussian'"),
        ({"shrnk": 1.0}, "gaussian has no setting 'shrnk'; did you mean 'shrink'"),
        ({"method": "cmarr", "betta": 1.0}, "cmarr has no setting 'betta'; did you mean 'beta'"),
        ({"seeds": 3}, "seeds: must be a list of whole numbers, as [0, 1, 2], not 3"),
        ({"seeds": "12"}, "seeds: must be a list of whole numbers"),
        ({"name": "../own"}, "name: '../own' cannot name a training"),
        ({"name": 3}, "name: 3 cannot name a training"),
        ({"train": [1]}, "train: must be keys and values"),
        ({"device": "gpu"}, "device: 'gpu' cannot be used here (it is the name of none); try auto"),
        ({"workers": "many"}, "workers: must be 1 or more processes, or auto, not 'many'"),
        ({"workers": 0}, "workers: must be 1 or more processes"),
        ({"shrink": 2.0}, "shrink"),
        ({"preset": "frozn"}, "preset: 'frozn' is not one of"),
        ({"train": {"epoch": 3}}, "did you mean 'epochs'"),
    ):
        with pytest.raises(cmarr.UserError, match=re.escape(message)) as caught:
            cmarr.train(corpus, **wrong)
        assert "params.yaml:" not in str(caught.value)


def test_a_trained_network_has_learning_curves_and_weights_of_its_objective(corpus):
    model = cmarr.train(
        corpus, "cmarr", beta=0.3, d=8, heads=2, length=2, flow_steps=1, blocks=1, train={"epochs": 2}
    )
    assert model.settings["settings"]["beta"] == 0.3 and model.settings["train"]["epochs"] == 2
    assert set(model.curves["epoch"]) == {1, 2}
    assert isinstance(model.plot(), Plot)


def test_a_mapping_is_taken_for_a_corpus_and_numbers_for_scores():
    given = arrays(60)
    scores = [CLASSES.index(label) - 1.0 for label in given.pop("labels")]
    model = cmarr.train(given | {"labels": scores}, "linear")
    assert model.corpus.task.regression
    results = cmarr.evaluate(model)
    assert results.scores.query("metric == 'MAE' and condition == 's'")["mean"].item() < 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speakers": None}, "without speakers, sessions or splits nobody knows"),
        ({"speakers": ["a"]}, "speakers: 1 of them for 90 labels"),
        ({"speech": np.zeros((3, 2))}, "speech: 3 entries for 90 labels"),
        ({"speech": [np.zeros(i % 2 + 1) for i in range(90)]}, "speech: entry 000001 has the shape"),
        ({"speech": np.full((90, 2), np.inf)}, "speech: entry 000000 holds NaN or infinity"),
        ({"speech": None, "text": None}, "none of them is given"),
        ({"speech": [None] * 90}, "speech: every entry is empty, None or NaN"),
        ({"speech": {"a": 1}}, "speech: a dict where one entry an utterance is due"),
        ({"speech": np.float64(1)}, "speech: a float64 where one entry an utterance is due"),
        ({"speech": pd.DataFrame({"a": ["x"] * 90})}, "speech: entry 000000 holds"),
        ({"speech": [np.array([1.0, np.nan])] * 90}, "a number of your own for a single one that is missing"),
        ({"labels": ["calm"] * 90}, "labels: all are 'calm'"),
        ({"labels": []}, "labels: there are none"),
        ({"labels": [None, *arrays()["labels"][1:]]}, "labels: entry 0 is missing"),
        ({"labels": [0.5, float("nan"), *[1.0] * 88]}, "labels: entry 1 is missing"),
        ({"labels": [0.5, float("inf"), *[1.0] * 88]}, "labels: one is infinite"),
        ({"labels": np.eye(3)[np.arange(90) % 3]}, "labels: entry 0 has the shape (3,)"),
        ({"speakers": [pd.NA, *arrays()["speakers"][1:]]}, "speakers: entry 0 is missing"),
        ({"speakers": ["a", "b"] * 45}, "speakers: 2 of them, where 3 are the least"),
        ({"n_folds": "five"}, "n_folds: must be a whole number, not 'five'"),
        ({"encoders": ["logmel"]}, "encoders: must be as {"),
        (
            {"encoders": {"speach": "logmel"}},
            "'speach' is none of speech, video, text; did you mean 'speech'",
        ),
        ({"encoders": {"speech": {"named": "logmel"}}}, "encoders.speech: must be as in {"),
        ({"encoders": {"speech": "logmell"}}, "did you mean 'logmel'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(cmarr.UserError, match=re.escape(message)):
        cmarr.Corpus.from_arrays(**(arrays() | change))


def test_lists_pandas_and_pytorch_make_the_corpus_that_numpy_makes(corpus):
    import torch

    given = arrays()
    index = range(5, 95)  # of no meaning
    same = {
        "labels": pd.Series(given["labels"], index=index, dtype="category"),
        "speech": pd.DataFrame(given["speech"], index=index),
        "text": (entry if entry is None else torch.tensor(entry) for entry in given["text"]),
        "speakers": pd.DataFrame({"speaker": given["speakers"]}),
    }
    tensor = torch.tensor(given["speech"], requires_grad=True)
    for changed in (same, given | {"speech": tensor}, given | {"speech": list(tensor)}):
        made = cmarr.Corpus.from_arrays(**changed)
        assert str(made) == str(corpus)
        for letter, table in corpus.tables.items():
            assert made.tables[letter].ids == table.ids
            np.testing.assert_array_equal(made.tables[letter].values, table.values)


def test_truth_values_are_classes_and_whole_numbers_are_said_to_be_scores():
    given = arrays(60)
    labels = [name == "calm" for name in given.pop("labels")]
    assert cmarr.Corpus.from_arrays(labels, **given).task.classes == ("False", "True")
    made = cmarr.Corpus.from_arrays([int(label) for label in labels], **given)
    assert made.task.regression and "classes have names: str(label)" in str(made)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: cmarr.compare(model), "compare: gaussian, where two methods are due"),
        (lambda model: cmarr.compare("linear", model), "a str is no trained method"),
        (lambda model: cmarr.evaluate(model.corpus), "a Corpus is no trained method"),
        (lambda model: cmarr.train(np.zeros((3, 2)), "linear"), "train: a ndarray is no corpus"),
        (lambda model: cmarr.train({"speech": [1]}), "train: there are no labels among speech"),
        (lambda model: cmarr.train({"labels": [1], "speach": [1]}), "did you mean 'speech'"),
    ],
)
def test_what_is_no_model_and_no_corpus_is_refused(model, call, message):
    with pytest.raises(cmarr.UserError, match=re.escape(message)):
        call(model)


def test_a_notebook_shows_the_line_and_the_sentence(corpus):
    with pytest.raises(cmarr.UserError) as caught:
        cmarr.train(corpus, "gausian")
    place, told = caught.value._render_traceback_()
    assert place.endswith('cmarr.train(corpus, "gausian")') and "did you mean 'gaussian'" in told


def test_a_table_of_clips_becomes_a_corpus(tmp_path):
    rows = [
        {
            "id": f"{i}",
            "text": f"word{i % 2} again",
            "label": ["yes", "no"][i % 2],
            "speaker": f"s{i // 4}",
        }
        for i in range(24)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "clips.csv", index=False)
    own = {"classes": ["no", "yes"], "folds": "speaker", "n_folds": 3}
    corpus = cmarr.load_corpus(tmp_path / "clips.csv", dataset=own, folder=tmp_path / "study", workers=1)
    assert len(corpus) == 24 and set(corpus.tables) == {"t"}
    model = cmarr.train(corpus, "linear")
    assert model.predict(text="word1 again").winner == "no"
    with pytest.raises(cmarr.UserError, match="neither a table of clips that is there nor one of demo"):
        cmarr.load_corpus("nowhere.csv")
    with pytest.raises(cmarr.UserError, match="did you mean 'ravdess'"):
        cmarr.load_corpus("ravdes")


def test_evaluating_two_of_one_name_or_of_two_corpora_is_refused(model):
    with pytest.raises(cmarr.UserError, match="two models are called gaussian"):
        cmarr.evaluate(model, model)
    other = cmarr.train(arrays(60), "linear")
    with pytest.raises(cmarr.UserError, match="linear was trained on arrays"):
        cmarr.evaluate(model, other)


def test_normalising_by_speaker_is_said_and_stands_in_no_table_with_others(corpus, model):
    other = cmarr.train(corpus, "late", by_speaker=True)
    found = cmarr.evaluate(other)
    assert (
        "Normalised by speaker: what is usual" in str(found)
        and "Normalised by speaker: what is usual" in found._repr_html_()
    )
    assert "Normalised by" not in str(cmarr.evaluate(model))
    with pytest.raises(cmarr.UserError, match="belong into two tables"):
        cmarr.evaluate(model, other)
    with pytest.raises(cmarr.UserError, match="cannot be compared"):
        cmarr.compare(model, other)


def test_normalising_by_speaker_is_refused_where_speakers_tell_the_class(corpus):
    labels = [("calm", "tense")[i // 6 % 2] for i in range(48)]
    speech = [[float(i), 1.0] for i in range(48)]
    made = cmarr.Corpus.from_arrays(
        labels, speech=speech, speakers=[f"s{i // 6}" for i in range(48)], n_folds=4
    )
    with pytest.raises(cmarr.UserError, match="8 of 8 speakers hold a single class"):
        cmarr.train(made, "late", by_speaker=True)
