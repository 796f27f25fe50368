"""Arrays made elsewhere through the stages: settings, prepare, extract, split, masks, train."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stages.extract
import stages.masks
import stages.prepare
import stages.settings
import stages.split
import stages.train
from cmarr.corpora.manifest import read_quarantine
from cmarr.features.shards import load_features
from cmarr.methods.model import load_model

ROOT = Path(__file__).parents[2]
CLASSES = ("angry", "happy", "neutral", "sad")
NAMES = [f"u{i:02d}" for i in range(36)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """36 utterances of six speakers: sequences of speech, a fifth of them sentinels; one vector of text, no video."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shutil.copytree(ROOT / "presets", "presets")
    rng = np.random.default_rng(0)
    labels = [CLASSES[i % 4] for i in range(36)]
    Path("own").mkdir()
    speakers = [f"s{i % 6}" for i in range(36)]
    pd.DataFrame({"id": NAMES, "label": labels, "speaker": speakers}).to_csv("own/utterances.csv")
    speech = {name: rng.normal(i % 4, 1, (3 + i % 3, 5)) for i, name in enumerate(NAMES)}
    for name in NAMES[::5]:
        speech[name][:] = 255
    np.savez("own/speech.npz", **speech)
    np.save(
        "own/text.npy", rng.normal(0, 1, (36, 4)) * (np.arange(36) % 7 > 0)[:, None]
    )  # zeros: a row in seven

    def write(**changes):
        text = (ROOT / "params.yaml").read_text()
        changes = {
            "dataset: demo ": "dataset: own_features ",
            "../corpora/own_features": "own",
            "n_folds: 5\n    options: {}         # {sent": "n_folds: 3\n    options: {sentinels: [255]} # {sent",
            "- cmarr\n- masked\n- linear": "- linear",
            **changes,
        }
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new, 1)
        Path("params.yaml").write_text(text)

    return write


def test_from_arrays_to_a_model(project):
    project()
    stages.settings.main("own_features")
    stages.prepare.main("own_features")
    for modality in ("speech", "video", "text"):
        stages.extract.main("own_features", modality)
    features = load_features("data/own_features/features")
    assert {letter: (len(table.ids), table.dim) for letter, table in features.items()} == {
        "s": (28, 5),
        "t": (30, 4),
    }
    absent = read_quarantine("data/own_features/features/text/quarantine.parquet")
    assert len(absent) == 6 and all(r.reason.startswith("nothing there") for r in absent)
    stages.split.main("own_features")
    stages.masks.main("own_features")
    stages.train.main("own_features", "linear")
    model = load_model("data/own_features/models/linear/fold1-seed0.safetensors")
    assert model.description["dims"] == {"s": 5, "t": 4}


def test_zeros_that_are_an_error_stop_the_stage(project):
    project(**{"options: {sentinels: [255]}": "options: {zeros: error}"})
    stages.settings.main("own_features")
    stages.prepare.main("own_features")
    with pytest.raises(
        Exception, match=r"text: 6 of 36 utterances cannot be encoded, more than max_rejected"
    ):
        stages.extract.main("own_features", "text")
