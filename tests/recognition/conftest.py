"""A finished study with untrained models, and clips to hand to them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

sys.path.append(str(Path(__file__).parents[1] / "media"))
from recordings import face, tone, write_video

from cmarr.data.normalise import Normaliser
from cmarr.encoders.registry import build_encoder
from cmarr.features.shards import shard_path, write_shard
from cmarr.methods.model import Model, save_model
from cmarr.methods.registry import build_method
from cmarr.modalities import LETTERS
from cmarr.seals import write_json
from cmarr.task import Task
from cmarr.utterance import FeatureSequence

CLASSES = ("calm", "tense", "glad")
ENCODERS = {
    "speech": ("logmel", {"bands": 20, "pool": 5}),
    "video": ("hog", {"rate": 10.0, "margin": 0.1, "detector": "haar", "detector_file": ""}),
    "text": ("hashing", {"dim": 32}),
}
SIZES = {
    "masked": {"d": 16, "length": 4, "heads": 2, "dropout": 0.1},
    "cmarr": {"d": 16, "length": 4, "heads": 2, "flow_steps": 2, "blocks": 1},
}


def make_study(root, classes=CLASSES, scores=((0, 0, 0.5), (1, 0, 0.7)), encoders=True):
    """Write what a pipeline leaves: settings, features, models of `masked` and `cmarr` (fold, seed, score)."""
    data = root / "data" / "demo"
    dims = {}
    for name, (encoder, settings) in ENCODERS.items():
        built = build_encoder(encoder, settings)
        dims[LETTERS[name]] = built.dim
        source = (
            {"source": "encoder", "encoder": encoder, "settings": settings}
            if encoders
            else {"source": "corpus"}
        )
        write_json(data / "settings" / "extract" / f"{name}.json", source)
        frames = np.ones((2, built.dim), np.float32)
        shard = shard_path(data / "features" / name, 0)
        write_shard(
            shard,
            [FeatureSequence("a", frames, np.arange(2.0))],
            {**built.describe(), "modality": built.modality},
        )
    write_json(data / "settings" / "report.json", {"methods": list(SIZES)})
    task = Task(classes)
    for method, sizes in SIZES.items():
        write_json(data / "settings" / "train" / f"{method}.json", {"train": {"lr": 0.001}})
        for fold, seed, score in scores:
            torch.manual_seed(fold)
            built = build_method(method, dims, task, sizes)
            description = {
                "method": method,
                "settings": sizes,
                "classes": list(classes),
                "dims": dims,
                "fold": fold,
                "seed": seed,
                "epoch": 3,
                "score": score,
                "version": "0.1.0",
            }
            prior = torch.full((task.outputs,), 1 / task.outputs)
            path = data / "models" / method / f"fold{fold}-seed{seed}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_model(path, Model(built, Normaliser(dims), prior, task, description))
    return root


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The folder of a project whose study `demo` has run."""
    root = make_study(tmp_path_factory.mktemp("project"))
    (root / "params.yaml").write_text("dataset: demo\n")
    return root


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A folder with a sound (a.wav, clipped: loud.wav), a video (a.mp4), a faceless one, a silent one, and a.txt."""
    folder = tmp_path_factory.mktemp("clips")
    soundfile.write(folder / "a.wav", tone(440, 1.0), 16_000)
    soundfile.write(folder / "loud.wav", np.clip(4 * tone(440, 1.0), -0.99, 0.99), 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "long.wav", tone(440, 5.0), 16_000)
    write_video(folder / "a.mp4", [face(x=70 + i) for i in range(20)])
    write_video(folder / "faceless.mp4", [np.full((120, 160), 110, np.uint8)] * 20)
    (folder / "a.txt").write_text("well, that is a surprise")
    (folder / "long.srt").write_text(
        "1\n00:00:00,500 --> 00:00:01,000\n<i>first</i> words\n\n2\n00:00:03,200 --> 00:00:04,000\nlast words\n"
    )
    return folder


@pytest.fixture(scope="session")
def recognizer(project):
    """CM-ARR's best model, its workers kept for the session."""
    from cmarr import Recognizer

    with Recognizer.of_study("demo", "cmarr", root=project, workers=1) as loaded:
        yield loaded


@pytest.fixture
def borrowed(recognizer, monkeypatch):
    """`cmarr predict` takes the session's model, whichever it is told to load: loading would only test patience."""

    class Borrowed:
        classes, notes, about, limits = recognizer.classes, (), recognizer.about, recognizer.limits
        models, reader, modalities = recognizer.models, recognizer.reader, recognizer.modalities
        predict_all, predict_found = recognizer.predict_all, recognizer.predict_found
        predict_hiding, windows = recognizer.predict_hiding, recognizer.windows

        def __enter__(self):
            return self

        def __exit__(self, *_):
            """The session closes it."""

    # The class stays: a module that is first imported meanwhile would hold another one ever after.
    for way in ("load", "of_study", "from_pretrained"):
        monkeypatch.setattr(type(recognizer), way, lambda *_, **__: Borrowed())


@pytest.fixture(scope="session")
def exported(project, tmp_path_factory):
    """CM-ARR's best model in a folder of its own."""
    from cmarr.recognition.export import export
    from cmarr.recognition.trained import of_study

    return export(of_study("demo", "cmarr", root=project), tmp_path_factory.mktemp("exported"))


TIGHT = {
    "--header-seconds": "1",
    "--body-seconds": "2",
    "--max-connections": "40",
    "--max-flight-megabytes": "32",
    "--max-request-megabytes": "4",
    "--max-megabytes": "1",
}


@pytest.fixture(scope="session")
def tight(exported):
    """A running server with little to spend."""
    from tests.recognition.under_way import Server

    running = Server(exported, *[word for option in TIGHT.items() for word in option])
    yield running
    assert running.end() == (0, ""), "nobody can fill its log"
