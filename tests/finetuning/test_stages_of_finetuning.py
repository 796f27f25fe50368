"""Fine-tuning through the real stages: recordings -> what the networks read -> models that hold them -> answers."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import stages.evaluate
import stages.extract
import stages.masks
import stages.prepare
import stages.recovery
import stages.settings
import stages.split
import stages.train
from cmarr.errors import UserError
from cmarr.features.shards import read_features, read_metadata, shard_path
from cmarr.folds.files import read_folds, read_rule, write_folds
from cmarr.methods.finetuned import FineTuned
from cmarr.methods.model import load_model
from cmarr.recognition.export import export
from cmarr.recognition.recognizer import Recognizer
from cmarr.recognition.trained import exported, of_study
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from cmarr.training.job import run_job

ROOT = Path(__file__).parents[2]
FOLDS = Path("data/own/folds.parquet")
MODEL = Path("data/own/models/cmarr/fold1-seed0.safetensors")
QUERY = "encoder.layers.0.attention.q_proj.weight"
LABELS = ("happy", "sad", "angry", "neutral")
CHANGES = {
    "dataset: demo ": "dataset: own ",
    "preset: auto ": "preset: paper ",
    "../corpora/own/manifest.csv": "clips/manifest.csv",
    "facebook/wav2vec2-base": "models/speech",
    "bert-base-uncased": "models/text",
    "workers: auto": "workers: 1",
    "epochs: auto": "epochs: 2",
    "batch_size: auto": "batch_size: 4",
    "lr: auto": "lr: 1.0e-3",
    "  lr: 1.0e-5": "  lr: 1.0e-4",
    "d: auto             # width": "d: 8             # width",
    "length: auto        # steps": "length: 4        # steps",
    "flow_steps: auto": "flow_steps: 1",
    "blocks: auto": "blocks: 1",
    "video: auto": "video: hog",
    "\nrecovery: []": "\nrecovery: [cmarr]",
}


def write_params(changes):
    text = (ROOT / "params.yaml").read_text()
    text = re.sub(r"(options: \{\}\n  own:(?:.|\n)*n_folds: )5", r"\g<1>3", text)
    for old, new in {**CHANGES, **changes}.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    Path("params.yaml").write_text(text)
    stages.settings.main("own")


@pytest.fixture(scope="module")
def project(tmp_path_factory, folder):
    """Twelve clips of one's own, a sound and a text each, read by the first stages; CM-ARR is trained on a fold."""
    here = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("DVC_ROOT", str(here))
        shutil.copytree(ROOT / "presets", "presets")
        shutil.copytree(folder("wav2vec2"), "models/speech")
        shutil.copytree(folder("bert"), "models/text")
        Path("clips").mkdir()
        rng = np.random.default_rng(0)
        rows = ["id,text,audio,video,label,speaker,session"]
        for i in range(12):
            label = LABELS[i % 4]
            sound = f"{i}.wav" if i else ""  # the first was never recorded
            soundfile.write(f"clips/{i}.wav", 0.1 * rng.standard_normal(1500 + 100 * i), 16_000)
            rows.append(f"u{i},well {label},{sound},,{label},s{i // 2},1")
        Path("clips/manifest.csv").write_text("\n".join(rows))
        write_params({})
        stages.prepare.main("own")
        stages.split.main("own")
        write_folds(FOLDS, read_folds(FOLDS)[:1], read_rule(FOLDS))
        for modality in ("speech", "text"):
            stages.extract.main("own", modality)
        stages.masks.main("own")
        stages.train.main("own", "cmarr")
    return here


@pytest.fixture
def inside(project, monkeypatch):
    """The working directory is the project's."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_ROOT", str(project))
    return project


def pretrained(kind, name):
    from transformers import AutoModel

    network = AutoModel.from_pretrained(f"models/{kind}")
    return dict(network.named_parameters())[name].detach()


def test_the_shards_hold_what_the_networks_read(inside):
    speech, text = (read_features(Path("data/own/features", m)) for m in ("speech", "text"))
    assert (speech.dim, speech.values.dtype) == (320, np.int16)
    assert (text.dim, text.values.dtype) == (1, np.int16)
    assert (len(speech.ids), len(text.ids)) == (11, 12)
    told = read_metadata(shard_path("data/own/features/speech", 0))
    assert told["encoder"] == "waveforms" and told["revision"].startswith("sha256:")


def test_a_saved_model_answers_without_the_hub(inside, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.move("models", "elsewhere")  # nor does it need the folder
    try:
        model = load_model(MODEL)
        assert isinstance(model.method, FineTuned)
        assert not dict(
            model.normaliser.named_buffers()
        )  # nothing is standardised: the inputs are no features
        stages.evaluate.main("own", "cmarr")
        stages.recovery.main("own", "cmarr")
    finally:
        shutil.move("elsewhere", "models")
    scores = json.loads(Path("metrics/own/cmarr.json").read_text())
    assert 0 <= scores["UAR"]["st"]["mean"] <= 1
    assert len(pd.read_parquet("data/own/predictions/cmarr.recovery/measured.parquet"))


def test_a_trained_model_hears_a_clip_it_has_never_met(inside):
    with Recognizer.of_study("own", "cmarr", workers=1, device="cpu", keep=False) as recognizer:
        noise = 0.1 * np.random.default_rng(7).standard_normal(4000).astype(np.float32)
        both = recognizer.predict(audio=(noise, 16_000), text="well happy")
        deaf = recognizer.predict(audio=(noise, 16_000), text="well happy", hide=["speech"])
    assert sum(both.probabilities.values()) == pytest.approx(1.0)
    assert both.probabilities != deaf.probabilities


def test_an_exported_model_needs_neither_the_networks_nor_the_hub(inside, tmp_path, monkeypatch):
    noise = 0.1 * np.random.default_rng(7).standard_normal(4000).astype(np.float32)
    clip = {"audio": (noise, 16_000), "text": "well happy \ud800 zzz"}
    trained = of_study("own", "cmarr")
    with Recognizer(trained, workers=1, device="cpu", keep=False) as recognizer:
        here = recognizer.predict(**clip)
    export(trained, tmp_path / "model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    shutil.move(inside / "models", inside / "elsewhere")
    try:
        export(exported("model"), "again")  # an export of an export
        with Recognizer.load("again", workers=1, device="cpu", keep=False) as recognizer:
            there = recognizer.predict(**clip)
            assert recognizer.notes == []
    finally:
        shutil.move(inside / "elsewhere", inside / "models")
    assert there == here and set(here.used) == {"speech", "text"}
    assert str(inside) not in Path("model/model.json").read_text()
    with pytest.raises(UserError, match=r"the encoder of text \(word_pieces\) needs none"):
        Recognizer.load("model", weights={"text": "elsewhere"})
    Path("model/tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="is not the one that the model was exported with"):
        Recognizer.load("model")


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "learns"),
    [
        ("speech", f"s.network.network.{QUERY}", QUERY, True),
        ("speech", "s.network.first.conv.weight", "feature_extractor.conv_layers.0.conv.weight", False),
        ("speech", "s.network.rest.3.conv.weight", "feature_extractor.conv_layers.4.conv.weight", False),
        ("text", "t.network.network.embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight", True),
    ],
)  # fmt: skip
def test_the_networks_learn_and_the_front_end_does_not(inside, kind, ours, theirs, learns):
    after = load_model(MODEL).method.state_dict()[f"encoders.{ours}"]
    assert torch.equal(after, pretrained(kind, theirs)) != learns


def test_going_on_after_a_kill_gives_the_same_bytes(inside, monkeypatch):
    whole = MODEL.read_bytes()
    monkeypatch.setattr("cmarr.training.loop.SAVE_EVERY", 0.0)

    class Kill(Exception):
        pass

    def killed(work, tick):
        return run_job(work, lambda: (_ for _ in ()).throw(Kill))

    monkeypatch.setattr("cmarr.training.trainings.run_job", killed)
    with pytest.raises(Kill):
        stages.train.main("own", "cmarr")
    epochs = []
    monkeypatch.setattr(
        "cmarr.training.trainings.run_job", lambda work, tick: run_job(work, lambda: epochs.append(1))
    )
    MODEL.unlink()
    stages.train.main("own", "cmarr")
    assert len(epochs) == 1  # of two: the first was saved
    assert MODEL.read_bytes() == whole


@pytest.mark.parametrize(("method", "learns"), [("masked", True), ("linear", False)])
def test_other_methods_learn_too_and_closed_forms_read_what_was_pretrained(inside, method, learns):
    stages.train.main("own", method)
    stages.evaluate.main("own", method)
    model = load_model(f"data/own/models/{method}/fold1-seed0.safetensors")
    own = model.method.state_dict()[f"encoders.s.network.network.{QUERY}"]
    assert torch.equal(own, pretrained("speech", QUERY)) != learns


class TestSettings:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        shutil.copytree(ROOT / "presets", "presets")

    def resolved(self, **changes):
        write_params(changes)
        return resolve(load_settings("params.yaml", "presets"))

    def test_the_preset_asks_for_the_papers_numbers_and_both_networks(self):
        paper = dict.fromkeys(("epochs: auto", "batch_size: auto", "lr: auto", "  lr: 1.0e-5"))
        files = self.resolved(**{key: key for key in paper})
        assert files["cmarr"]["train"]["lr"] == files["cmarr"]["finetune"]["lr"] == 1e-5
        assert (files["cmarr"]["train"]["batch_size"], files["cmarr"]["train"]["epochs"]) == (16, 100)
        assert files["cmarr"]["settings"]["beta"] == 0.1
        assert {m: e["encoder"] for m, e in files["cmarr"]["finetune"]["encoders"].items()} == {
            "s": "wav2vec2",
            "t": "bert",
        }
        assert (files["speech"]["encoder"], files["text"]["encoder"]) == ("waveforms", "word_pieces")
        assert files["report"]["features"]["speech"] == "wav2vec2 (fine-tuned)"

    def test_video_stays_frozen(self):
        files = self.resolved(**{"video: auto": "video: auto"})
        assert files["video"]["encoder"] == "denseface"

    def test_how_they_learn_concerns_the_methods_and_no_extraction(self):
        before = self.resolved()
        for change in (
            {"  lr: 1.0e-5": "  lr: 3.0e-5"},
            {"freeze_front_end: true": "freeze_front_end: false"},
            {"checkpointing: true": "checkpointing: false"},
        ):
            after = self.resolved(**change)
            changed = {name for name in before if before[name] != after[name]}
            assert {"cmarr", "masked", "linear"} <= changed
            assert not changed & {"speech", "text", "video", "prepare", "corpus", "split"}

    def test_frozen_methods_know_nothing_of_it(self):
        files = self.resolved(**{"preset: auto ": "preset: paper-frozen "})
        assert "finetune" not in files["cmarr"]
        assert files["speech"]["encoder"] == "wav2vec2"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"dataset: demo ": "dataset: mosi "}, "finetune.encoders: mosi brings its features along .*paper-frozen"),
            ({"speech: auto": "speech: logmel"}, "wav2vec2 cannot be fine-tuned, because encoders.speech is logmel"),
            ({"  encoders: auto": "  encoders: [hog]"}, "finetune.encoders.0: input should be 'bert' or 'wav2vec2'"),
            ({"  lr: 1.0e-5": "  lr: 0"}, "finetune.lr: input should be greater than 0"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_one_sentence(self, change, message):
        with pytest.raises(UserError, match=message):
            self.resolved(**change)
