"""What the doctor says of media: the verdict that extraction would come to."""

import numpy as np
import pytest
import soundfile

from cmarr.corpora.headers import read_headers
from cmarr.doctor.corpus import _task
from cmarr.doctor.extraction import Source, Trial, try_extraction
from cmarr.encoders.registry import build_encoder
from cmarr.settings.schema import Dataset
from cmarr.utterance import FeatureSequence, Rejected, Utterance


@pytest.fixture
def sound(tmp_path):
    """A file of half a second."""
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(8000)), 16_000)
    return str(tmp_path / "a.wav")


def tried(*utterances):
    headers = read_headers({p for u in utterances for p in (u.audio, u.video) if p})
    sources = {
        letter: Source(name, lambda name=name: build_encoder(name, workers=1), 0.1)
        for letter, name in (("s", "logmel"), ("v", "hog"))
    }
    return try_extraction(sources, utterances, headers, {})


@pytest.mark.parametrize("name", ["nan", "u.opus", "u.3gp", "u", "u.wav"])
def test_a_file_that_is_not_there_is_a_problem_whatever_its_name_ends_in(tmp_path, name):
    problem, nothing = [
        f.text for f in tried(Utterance("u", video=str(tmp_path / name))) if f.level == "problem"
    ]
    assert "video of 1 of 1 utterances cannot be read" in problem and "does not exist" in problem
    assert "no utterance gives any features" in nothing


def test_times_in_milliseconds_are_a_problem(sound):
    first, *_ = [
        f.text for f in tried(Utterance("u", audio=sound, start=100.0, end=400.0)) if f.level == "problem"
    ]
    assert "lasts 0.5 s, the utterance begins at 100 s; are times in seconds?" in first


class Failing:
    """An encoder that fails for some."""

    modality, dim = "t", 2

    def __init__(self, failing):
        self.failing, self.seen = failing, []

    def encode(self, utterances):
        for u in utterances:
            self.seen.append(u.id)
            yield (
                Rejected(u.id, "t", "extract", "broken")
                if u.id in self.failing
                else FeatureSequence(u.id, np.ones((1, 2), np.float32), np.zeros(1, np.float32))
            )


@pytest.mark.parametrize(
    ("failing", "at_most", "levels"),
    [
        (0, 64, ["ok"]),
        (50, 400, ["ok", "warning"]),
        (500, 64, ["ok", "problem"]),
        (120, 512, ["ok", "problem"]),
        (88, 512, ["ok", "warning"]),
    ],
)
def test_as_many_are_tried_as_the_verdict_needs(failing, at_most, levels):
    utterances = [Utterance(f"{i:04d}", text="x") for i in range(1000)]
    encoder = Failing({u.id for u in utterances[:failing]})
    trial = Trial("t", Source("failing", lambda: encoder, 0.1), utterances, {}, {})
    trial.run(encoder)
    assert len(encoder.seen) == len(set(encoder.seen)) == trial.tried <= at_most
    assert [f.level for f in trial.findings()] == levels


@pytest.mark.parametrize(("failing", "stops"), [(4, False), (5, True)])
def test_where_all_are_tried_the_verdict_is_extractions_own(failing, stops):
    utterances = [Utterance(str(i), text="x") for i in range(40)]
    encoder = Failing({u.id for u in utterances[:failing]})
    trial = Trial("t", Source("failing", lambda: encoder, 0.1), utterances, {}, {})
    trial.run(encoder)
    assert trial.tried == 40 and trial.stops() is stops and not trial.open()


def test_labels_that_are_written_otherwise_than_their_class_are_named():
    labels = ["angry", "Angry", "SAD ", "sad", "calm"]
    dataset = Dataset(
        root="x", kind="manifest", task="classification", classes=["angry", "sad"], merge={}, folds="speaker",
        n_folds=2, features="encoders", options={}, preset="frozen",
    )  # fmt: skip
    utterances = [
        Utterance(str(i), text="x", label=label, speaker=str(i % 2)) for i, label in enumerate(labels)
    ]
    _, _, findings = _task(utterances, dataset)
    [found] = [f for f in findings if f.level == "warning"]
    assert (
        found.text.endswith("'Angry' (1) and 'SAD ' (1)") and "merge: Angry: angry, SAD : sad" in found.advice
    )
