"""A model that cannot be had is one sentence that names the key, the model and what to do."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import _http

from cmarr.encoders.bert import Bert
from cmarr.encoders.wav2vec2 import Wav2vec2
from cmarr.errors import UserError

Settings = Bert.Settings


def sentence(build, model=None):
    """What is said when an encoder cannot be built."""
    with pytest.raises(UserError) as caught:
        build(build.Settings(**({"model": model} if model else {})), device="cpu")
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def copy(tmp_path):
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "model"))


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(
    ("build", "key", "model"),
    [
        (Wav2vec2, "encoders.wav2vec2.model", "facebook/wav2vec2-base"),
        (Bert, "encoders.bert.model", "bert-base-uncased"),
    ],
)
def test_offline_without_weights(empty_cache, monkeypatch, build, key, model):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = sentence(build)
    assert text.startswith(f"{key}: {model} (revision ")
    assert "HF_HUB_OFFLINE forbids to fetch it" in text
    assert "set this key to a folder that holds the model" in text


def test_no_network_without_weights(empty_cache, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    text = sentence(Bert)
    assert "bert-base-uncased" in text and "the model hub cannot be reached" in text
    assert "set this key to a folder" in text


def test_a_folder_that_is_not_there():
    text = sentence(Bert, "./models/bert")
    assert "the folder ./models/bert does not exist" in text


def test_another_family(text_model, speech_model):
    assert "a model of the family bert; this encoder runs wav2vec2, hubert" in sentence(
        Wav2vec2, text_model["bert"]
    )
    assert "a model of the family hubert; this encoder runs bert" in sentence(Bert, speech_model["hubert"])


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_folder_that_is_not_whole(copy, speech_model, name, damage):
    folder = copy(speech_model["wav2vec2"])
    path = folder / name
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(
        content[: len(content) // 2 * (damage == "cut")]
    )
    text = sentence(Wav2vec2, str(folder))
    assert "encoders.wav2vec2.model: the model in the folder" in text
    assert "must hold config.json, preprocessor_config.json and model.safetensors" in text


def test_weights_that_do_not_fit_are_not_replaced_by_random_ones(copy, text_model):
    folder = copy(text_model["bert"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    assert "do not fit its config.json" in sentence(Bert, str(folder))


def test_torch_files_are_read_where_there_is_nothing_else(copy, text_model):
    """wav2vec2-base comes as one."""
    folder = copy(text_model["bert"])
    plain = Bert(Settings(model=str(folder)), device="cpu")
    torch.save(plain.network.module.network.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    for a, b in zip(
        plain.network.module.parameters(),
        Bert(Settings(model=str(folder)), device="cpu").network.module.parameters(),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_a_torch_file_cannot_run_anything(copy, text_model, tmp_path):
    class Sinister:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was here"),)

    folder = copy(text_model["bert"])
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings": Sinister()}, folder / "pytorch_model.bin", pickle_module=pickle)
    assert "cannot be loaded" in sentence(Bert, str(folder))
    assert not (tmp_path / "was here").exists()


def test_a_folder_is_known_by_its_content_and_not_by_its_place(copy, text_model, tmp_path):
    here, there = text_model["bert"], copy(text_model["bert"])
    one, two = (
        Bert(Settings(model=here), device="cpu").describe(),
        Bert(Settings(model=str(there)), device="cpu").describe(),
    )
    assert one["revision"] == two["revision"]
    assert str(tmp_path) not in str(two)
    (there / "vocab.txt").write_text((there / "vocab.txt").read_text() + "\nanother")
    assert Bert(Settings(model=str(there)), device="cpu").describe()["revision"] != one["revision"]
