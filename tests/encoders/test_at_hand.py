"""What `best` stands for: the networks that lie on this machine, and nothing that would have to be fetched."""

import shutil
from pathlib import Path

import pytest

import stages.prepare
import stages.settings
from cmarr.doctor.dataset import _weights
from cmarr.encoders.at_hand import at_hand, chosen, hub
from cmarr.files import read_json
from cmarr.settings.load import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of the model hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    return hub()


def fetched(cache, model, revision, *, names=("config.json", "model.safetensors")):
    place = cache / f"models--{model.replace('/', '--')}" / "snapshots" / revision
    place.mkdir(parents=True)
    for name in names:
        (place / name).touch()


def test_a_network_is_at_hand_when_it_is_whole_and_of_the_revision(cache, tmp_path):
    fetched(cache, "someone/net", "abc")
    assert at_hand("someone/net", "abc") and not at_hand("someone/net", "abd")
    (cache / "models--someone--net/refs").mkdir()
    (cache / "models--someone--net/refs/main").write_text("abc\n")
    assert at_hand("someone/net", "main")
    fetched(cache, "someone/half", "abc", names=("config.json",))
    assert not at_hand("someone/half", "abc")
    (tmp_path / "models/own").mkdir(parents=True)
    assert not at_hand("models/own", "", tmp_path)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "models/own" / name).touch()
    assert at_hand("models/own", "", tmp_path)


def test_best_is_the_first_that_is_at_hand_and_what_was_typed_stays(cache):
    sections = {"wav2vec2": {"model": "a/b", "revision": "r"}, "bert": {"model": "c", "revision": "r"}}
    best = {"speech": "best", "video": "best", "text": "best", **sections}
    assert [chosen(best, Path())[m] for m in ("speech", "video", "text")] == ["logmel", "denseface", "minilm"]
    fetched(cache, "c", "r")
    assert [chosen(best, Path())[m] for m in ("speech", "text")] == ["logmel", "bert"]
    assert chosen(best | {"text": "hashing"}, Path())["text"] == "hashing"


def test_a_real_corpus_takes_the_best_and_the_demo_what_it_took():
    for dataset, encoders in {
        "iemocap": ("logmel", "denseface", "minilm"),
        "demo": ("logmel", "denseface", "hashing"),
    }.items():
        settings = load_settings(ROOT / "params.yaml", ROOT / "presets", dataset)
        assert (settings.encoders.speech, settings.encoders.video, settings.encoders.text) == encoders
        assert settings.train.lr == 5e-4
        told = [_weights(modality, settings).text for modality in ("speech", "text")]
        better = "wav2vec2 is better, but facebook/wav2vec2-base is not on this machine"
        assert (better in told[0]) == (dataset != "demo") and told[1].startswith(
            f"text: {encoders[2]}, ready"
        )


def test_a_network_that_is_fetched_changes_the_settings_of_its_extraction_alone(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shutil.copytree(ROOT / "presets", "presets")
    text = (ROOT / "params.yaml").read_text().replace("dataset: demo ", "dataset: iemocap ")
    Path("params.yaml").write_text(text)

    def files():
        stages.settings.main("iemocap")
        folder = Path("data/iemocap/settings/extract")
        return {path.stem: read_json(path) for path in folder.glob("*.json")}

    before = files()
    assert files() == before and before["text"]["encoder"] == "minilm"
    bert = load_settings("params.yaml", "presets").encoders.bert
    fetched(cache, bert.model, bert.revision)
    after = files()
    assert after["text"]["encoder"] == "bert" and after["text"]["settings"]["model"] == bert.model
    assert {m for m in after if after[m] != before[m]} == {"text"}
