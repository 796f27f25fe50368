"""Files made to do harm: none of them runs code, reads what it should not, or ends in a traceback."""

import json
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cmarr import Recognizer
from cmarr.corpora.headers import read_headers
from cmarr.corpora.pickles import load_pickle
from cmarr.encoders.face_network import load_denseface
from cmarr.encoders.pretrained import load_checkpoint
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.media.audio import Samples
from cmarr.media.clips import Clip, Failure
from cmarr.media.worker_pool import decode
from cmarr.recognition.clips import find_clips
from cmarr.recognition.export import export
from cmarr.recognition.prediction import Refusal
from cmarr.recognition.trained import of_study
from cmarr.seals import sealed
from cmarr.serving.register import write_mlflow_model
from cmarr.settings.load import read_yaml
from cmarr.training.progress import Checkpoint
from tests.resealed import relisted
from tests.warm import python

ROOT = Path(__file__).parents[2]


class Trap:
    """Unpickled, it writes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    """A path that exists after a test only if code of a file has run."""
    place = tmp_path / "it ran"
    yield place
    assert not place.exists()


@pytest.fixture
def folder(project, tmp_path):
    return export(of_study("demo", "masked", root=project), tmp_path / "model")


class TestWeights:
    @pytest.mark.parametrize("written", ["pickle", "torch"])
    def test_a_pickle_in_place_of_safetensors(self, folder, mark, written):
        path = folder / "fold1-seed0.safetensors"
        path.write_bytes(pickle.dumps(Trap(mark)))
        if written == "torch":
            torch.save(Trap(mark), path)
        relisted(folder)  # its writer can count, too
        with pytest.raises(UserError, match="is not a model of this product, or is damaged"):
            Recognizer.load(folder, keep=False)

    def test_a_checkpoint_of_a_training(self, tmp_path, mark):
        with sealed(tmp_path / "x.state") as temporary:
            torch.save({"model": Trap(mark)}, temporary)
        with pytest.raises(pickle.UnpicklingError):
            Checkpoint(tmp_path / "x.state").load()

    def test_a_pickle_of_features(self, tmp_path, mark):
        (tmp_path / "aligned_50.pkl").write_bytes(pickle.dumps({"train": Trap(mark)}))
        with pytest.raises(UserError):
            load_pickle(tmp_path / "aligned_50.pkl")

    def test_weights_of_faces(self, tmp_path, mark):
        torch.save(Trap(mark), tmp_path / "face.safetensors")
        path = tmp_path / "face.safetensors"
        with pytest.raises(UserError, match="is missing; put the file's SHA-256 there"):
            load_denseface(path)
        (tmp_path / "face.safetensors.sha256").write_text(file_digest(path))  # its writer can count, too
        with pytest.raises(UserError, match="does not hold the weights of a Denseface"):
            load_denseface(path)

    def test_a_folder_of_a_pretrained_network(self, tmp_path, mark):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
        torch.save(Trap(mark), tmp_path / "pytorch_model.bin")
        with pytest.raises(UserError, match=r"encoders\.bert\.model"):
            load_checkpoint("bert", str(tmp_path), "", families=("bert",), preparation="tokenizer")

    def test_a_network_that_brings_its_own_code(self, tmp_path, mark):
        """transformers would ask on the terminal whether to run it, and does so in a program that has none."""
        (tmp_path / "config.json").write_text(
            json.dumps(
                {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
            )
        )
        (tmp_path / "code.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Config: pass\n")
        with pytest.raises(UserError, match=r"encoders\.bert\.model"):
            load_checkpoint("bert", str(tmp_path), "", families=("bert",), preparation="tokenizer")

    @pytest.mark.parametrize("d", [20_000, 2_000_000_000])
    def test_a_description_that_claims_more_than_the_file_holds(self, folder, d):
        path = folder / "fold1-seed0.safetensors"
        from safetensors import safe_open

        with safe_open(path, "pt") as opened:
            description = json.loads(opened.metadata()["cmarr"])
        description["settings"]["d"] = d  # a matrix d x d would have 1.6 GB, or 16 exabytes
        save_file(load_file(path), path, {"cmarr": json.dumps(description)})
        relisted(folder)
        with pytest.raises(UserError, match="is not a model of this product, or is damaged"):
            Recognizer.load(folder, keep=False)


class TestMLflowModels:
    """MLflow runs the code beside a model; cmarr reads the weights, and nothing else of the folder."""

    @pytest.fixture
    def packed(self, project, tmp_path):
        folder = tmp_path / "packed"
        write_mlflow_model(of_study("demo", "masked", root=project), folder)
        return folder

    def test_its_code_is_not_run(self, packed, mark):
        for name in ("pyfunc_model.py", "MLmodel", "conda.yaml"):
            (packed / name).write_text(f"import os\nos.mkdir({str(mark)!r})\n")
        (packed / "python_model.pkl").write_bytes(pickle.dumps(Trap(mark)))
        with Recognizer.load(packed, keep=False) as recognizer:
            assert recognizer.predict(text="hello").used == ("text",)

    def test_weights_that_are_a_pickle(self, packed, mark):
        import mlflow.pyfunc

        (packed / "artifacts/model/fold1-seed0.safetensors").write_bytes(pickle.dumps(Trap(mark)))
        relisted(packed / "artifacts/model")
        for load in (Recognizer.load, mlflow.pyfunc.load_model):
            with pytest.raises(UserError, match="is not a model of this product, or is damaged"):
                load(str(packed))

    def test_a_description_that_leads_outside(self, packed):
        path = packed / "artifacts/model/model.json"
        path.write_text(path.read_text().replace("fold1-seed0.safetensors", "../../../secret.safetensors"))
        relisted(path.parent)
        with pytest.raises(UserError, match=r"models\.0\.file"):
            Recognizer.load(packed, keep=False)


class TestDescriptions:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 99}, "has the format 99"),
            ({"models": []}, "models"),
            (
                {"models": [{"file": "../../etc/passwd", "fold": 0, "seed": 0, "epoch": 1, "score": 0}]},
                "models.0.file",
            ),
            (
                {"encoders": {"speech": {"name": "os.system", "settings": {}, "provenance": {}}}},
                "the encoder .* is none of the product's own",
            ),
            (
                {"encoders": {"speech": {"name": "speech", "settings": {}, "provenance": {}}}},
                "the encoder .* is none of the product's own",
            ),
            (
                {
                    "encoders": {
                        "speech": {"name": "logmel", "settings": {"bands": -1, "pool": 5}, "provenance": {}}
                    }
                },
                "bands",
            ),
            ({"encoders": {"smell": {"name": None, "settings": {}, "provenance": {}}}}, "encoders"),
            ({"import": "os"}, "the key 'import' does not exist"),
        ],
    )
    def test_what_is_not_known_is_named(self, folder, change, message):
        path = folder / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        relisted(folder)
        with pytest.raises(UserError, match=message):
            Recognizer.load(folder, keep=False)

    @pytest.mark.parametrize(
        "content", ["", "[]", "null", "{", '{"format": 1}', "[" * 100_000, "\xff\xfe", '{"format": 1e999}']
    )
    def test_damaged_json(self, folder, content):
        (folder / "model.json").write_bytes(content.encode("latin-1"))
        relisted(folder)
        with pytest.raises(UserError, match=r"model\.json"):
            Recognizer.load(folder, keep=False)

    def test_yaml_makes_no_objects(self, tmp_path, mark):
        (tmp_path / "params.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{mark}']\n")
        with pytest.raises(UserError, match="is not valid YAML"):
            read_yaml(tmp_path / "params.yaml")


class TestPaths:
    @pytest.mark.parametrize(
        "cell", ["../secret.wav", "{folder}/secret.wav", "link.wav", "sub/../../secret.wav"]
    )
    def test_a_manifest_stays_in_its_folder(self, tmp_path, clips, cell):
        outside, inside = tmp_path / "secret.wav", tmp_path / "corpus"
        outside.write_bytes((clips / "a.wav").read_bytes())
        (inside / "sub").mkdir(parents=True)
        (inside / "link.wav").symlink_to(outside)
        (inside / "list.csv").write_text(f"id,audio\nx,{cell.format(folder=tmp_path)}\n")
        with pytest.raises(UserError, match="leads out of the manifest's folder"):
            find_clips([inside / "list.csv"])
        (clip,) = find_clips([inside / "list.csv"], allow_outside=True)
        assert Path(clip.utterance.audio).resolve() == outside

    def test_links_in_a_folder_stay_in_it(self, tmp_path, clips):
        inside = tmp_path / "corpus"
        inside.mkdir()
        (inside / "a.wav").symlink_to(clips / "a.wav")
        (inside / "b.txt").symlink_to("/etc/passwd")
        answers = find_clips([inside])
        assert all(isinstance(a, Refusal) and "--allow-outside" in a.reason for a in answers)
        assert len(answers) == 2

    def test_a_transcript_that_is_a_link_is_not_taken(self, tmp_path, clips):
        (tmp_path / "a.wav").write_bytes((clips / "a.wav").read_bytes())
        (tmp_path / "a.txt").symlink_to("/etc/passwd")
        (clip,) = find_clips([tmp_path / "a.wav"])
        assert clip.utterance.text is None
        assert "a.txt is a link that leads out of its folder" in clip.unread["t"]

    @pytest.mark.parametrize(
        "name",
        [
            "$(touch ran).wav",
            "a;touch ran;.wav",
            "`touch ran`.wav",
            "a\nb.wav",
            "-rf.wav",
            "\x1b[2Jx.wav",
            "|x.wav",
        ],
    )
    def test_a_name_is_a_name(self, recognizer, tmp_path, clips, name, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path(name).write_bytes((clips / "a.wav").read_bytes())
        (clip,) = find_clips([name])
        assert clip.utterance.id.isprintable()
        (answer,) = recognizer.predict_all([clip])
        assert answer.used == ("speech",)
        assert os.listdir(tmp_path) == [name]  # noqa: PTH208

    def test_a_name_that_is_no_text(self, recognizer, tmp_path, clips):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.wav")
        Path(path).write_bytes((clips / "a.wav").read_bytes())
        (clip,) = find_clips([path])
        (answer,) = recognizer.predict_all([clip])
        assert json.dumps(answer.as_dict()).isascii() and answer.id.encode("utf-8")

    @pytest.mark.parametrize("name", ["concat:a.wav|b.wav", "http:x.wav", "file:a.wav", "pipe:0"])
    def test_a_protocol_is_a_name_too(self, tmp_path, clips, name, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path(name).write_bytes((clips / "a.mp4").read_bytes())
        (header,) = read_headers([name]).values()
        assert header.video

    @pytest.mark.parametrize(
        "content",
        [
            "ffconcat version 1.0\nfile 'a.wav'\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>a.wav</BaseURL></MPD>',
        ],
    )
    def test_a_list_of_files_is_no_recording(self, tmp_path, clips, content):
        (tmp_path / "a.wav").write_bytes((clips / "a.wav").read_bytes())
        for ending in ("wav", "mp4", "m3u8"):
            path = tmp_path / f"list.{ending}"
            path.write_text(content)
            (answer,) = decode(Samples, [[Clip(str(path))]], workers=1)
            assert isinstance(answer, Failure)


def test_no_process_is_started_through_a_shell():
    """Every call that starts a process gets a list of words, in the whole library and the stages."""
    for path in [*(ROOT / "cmarr").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not [w for w in ("shell=True", "os.system(", "os.popen(", "getoutput(") if w in text], path


def test_arrays_that_would_be_objects(recognizer, tmp_path, mark):
    with pytest.raises(UserError):
        recognizer.predict(features={"speech": np.array([[Trap(mark)]], dtype=object)})


def test_the_command_says_it_in_a_sentence(folder, tmp_path):
    (folder / "fold1-seed0.safetensors").write_bytes(b"\x00" * 64)
    words = [
        python(),
        "-c",
        "from cmarr.cli import app; app()",
        "predict",
        "--text",
        "x",
        "--model",
        str(folder),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("cmarr predict: ") and "Traceback" not in done.stderr
