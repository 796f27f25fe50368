"""The stage with pretrained encoders, as params.yaml chooses them: settings -> manifest -> shards."""

import json
import shutil
from pathlib import Path

import pytest
import soundfile
from recordings import face, tone, write_video

import stages.extract
import stages.prepare
import stages.settings
from cmarr.features.shards import read_features, read_metadata, shard_path
from cmarr.media.faces_file import read_faces

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch, speech_model, text_model, face_weights):
    """One's own clips, four of them, beside a params.yaml that names models by relative folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shutil.copytree(ROOT / "presets", "presets")
    shutil.copytree(speech_model["wav2vec2"], "models/speech")
    shutil.copytree(text_model["bert"], "models/text")
    for name in (face_weights, f"{face_weights}.sha256"):
        shutil.copy(name, "models")
    Path("clips").mkdir()
    rows = ["id,text,audio,video,label,speaker,session"]
    for i, label in enumerate(("happy", "sad", "angry", "neutral")):
        soundfile.write(f"clips/{i}.wav", tone(200 * (i + 1), 0.5), 16_000)
        write_video(f"clips/{i}.mp4", [face(x=60 + i)] * 5)
        rows.append(f"u{i},well {label},{i}.wav,{i}.mp4,{label},s{i},1")
    Path("clips/manifest.csv").write_text("\n".join(rows))

    def write(**changes):
        text = (ROOT / "params.yaml").read_text()
        changes = {
            "  speech: auto ": "  speech: wav2vec2 ",
            "  text: auto ": "  text: bert ",
            "  video: auto ": "  video: denseface ",
            "dataset: demo ": "dataset: own ",
            "../corpora/own/manifest.csv": "clips/manifest.csv",
            "facebook/wav2vec2-base": "models/speech",
            "bert-base-uncased": "models/text",
            "weights: ''": "weights: models/denseface.safetensors",
            **changes,
        }
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new, 1)
        Path("params.yaml").write_text(text)
        stages.settings.main("own")
        stages.prepare.main("own")

    return write


def test_shards_of_pretrained_encoders(project, capsys):
    project()
    widths = {"speech": 32, "text": 32, "video": 342}
    for modality, width in widths.items():
        stages.extract.main("own", modality)
        folder = Path("data/own/features", modality)
        table = read_features(folder)
        assert table.ids == ["u0", "u1", "u2", "u3"] and table.dim == width
        assert "models" not in read_metadata(shard_path(folder, 0))["parameters"]
    assert [len(one.patches) for one in read_faces("data/own/features/video/faces.parquet")] == [2, 2, 2, 2]
    assert "4 utterances encoded" in capsys.readouterr().out


def test_a_modalitys_settings_hold_its_encoders_section_and_no_other(project):
    project()
    settings = json.loads(Path("data/own/settings/extract/text.json").read_text())
    assert settings["encoder"] == "bert"
    assert set(settings["settings"]) == {"model", "revision", "layers", "precision", "batch_pieces"}
