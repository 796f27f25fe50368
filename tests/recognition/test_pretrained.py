"""Models by name: shipped, a folder, MLflow's registry, a hub; and what is refused of them."""

import hashlib
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from cmarr import Recognizer
from cmarr.cli import app
from cmarr.errors import UserError
from cmarr.recognition.pretrained import DEFAULT, SHIPPED, pretrained, shipped, write_repository
from cmarr.recognition.trained import of_study
from cmarr.seals import LIST

LARGEST = 3e6
"""Bytes of a model that git and the wheel carry."""


@pytest.mark.parametrize("name", shipped())
def test_what_is_shipped_is_small_whole_and_holds_numbers_and_json_alone(name):
    files = sorted((SHIPPED / name).iterdir())
    assert sum(path.stat().st_size for path in files) < LARGEST
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md", ""}
    sums = dict(reversed(line.split("  ")) for line in (SHIPPED / name / LIST).read_text().splitlines())
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.name != LIST
    }
    trained = pretrained(name)
    for path in trained.weights:
        with safe_open(path, "np") as opened:
            assert all(np.isfinite(opened.get_tensor(key)).all() for key in opened.keys())  # noqa: SIM118


@pytest.mark.parametrize("name", shipped())
def test_its_card_says_what_it_is_for_what_it_was_trained_on_and_what_it_reads(name):
    card = (SHIPPED / name / "README.md").read_text(encoding="utf-8")
    about = pretrained(name).about
    assert card.startswith(f"---\nlibrary_name: cmarr\nlicense: {about.licence}\n")
    for needed in (
        "For trying out",
        "## What it was trained on",
        "FER+",
        "## What it reads",
        "UAR",
        "Not measured",
    ):
        assert needed in card, needed
    assert len(re.findall(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", card)) >= 2 * len(
        about.encoders
    )  # WAR and UAR with intervals
    assert (
        ("not for\n  commercial use" in card)
        == (about.licence == "cc-by-nc-sa-4.0")
        == ("speech" in about.encoders)
    )


def test_the_variant_without_ravdess_has_no_voice():
    assert set(pretrained("starter").about.encoders) - set(pretrained("starter-open").about.encoders) == {
        "speech"
    }


@pytest.fixture(scope="module")
def starter():
    with Recognizer.from_pretrained(keep=False, workers=1) as loaded:
        yield loaded


def test_it_answers_from_whatever_there_is(starter, clips):
    heard = starter.predict(clips / "a.wav", hide=["text"])
    both = starter.predict(clips / "a.mp4", audio=clips / "a.wav", hide=["text"])
    assert heard.used == ("speech",) and both.used == ("speech", "video")
    assert sum(both.probabilities.values()) == pytest.approx(1)
    assert both.probabilities != heard.probabilities
    assert starter.classes == ("angry", "happy", "neutral", "sad")


def test_a_model_is_called_so_that_people_know_it(starter):
    about = starter.about
    assert (about.title, about.terms) == ("starter", "cc-by-nc-sa-4.0, not for commercial use")
    own = about.model_copy(update={"card": "", "licence": "other", "dataset": "demo"})
    assert (own.title, own.terms) == ("late trained on demo", "")


def test_it_answers_where_there_is_no_project_and_says_so(tmp_path, monkeypatch, starter):
    monkeypatch.chdir(tmp_path)

    class Lent:
        classes, notes, about, limits = starter.classes, (), starter.about, starter.limits
        predict_hiding, modalities = starter.predict_hiding, starter.modalities

        def __enter__(self):
            return self

        def __exit__(self, *_):
            """It is closed elsewhere."""

    asked = []
    monkeypatch.setattr(Recognizer, "from_pretrained", lambda name, **_: asked.append(name) or Lent())
    np.save(tmp_path / "nothing.npy", np.zeros(1))
    words = ["predict", str(tmp_path / "clip.wav"), "--text", "what a wonderful day", "--hide", "text"]
    write_tone(tmp_path / "clip.wav")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert asked == [DEFAULT]
    assert "no project here" in done.stderr and f"{DEFAULT} answers" in done.stderr
    assert "not for commercial use" in done.stderr
    assert "angry  happy  neutral  sad" in done.stdout

    (tmp_path / "params.yaml").write_text("lr: 0.1\n")  # of somebody else's pipeline
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "no project here" in done.stderr and asked == [DEFAULT] * 2
    (tmp_path / "params.yaml").write_text("dataset: own\n")  # a project, whose study has not run
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "there is no study of 'own'" in done.stderr and asked == [DEFAULT] * 3
    done = CliRunner().invoke(app, [*words, "--method", "cmarr"])  # asked for: nothing answers in its place
    assert done.exit_code == 2 and len(asked) == 3
    done = CliRunner().invoke(app, [*words, "--params", "elsewhere.yaml"])
    assert done.exit_code == 2 and "elsewhere.yaml is not there" in done.stderr and len(asked) == 3


def write_tone(path):
    import soundfile
    from recordings import tone

    soundfile.write(path, tone(440, 1.0), 16_000)


def test_a_name_that_is_none_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="there are starter, starter-open; did you mean 'starter'"):
        pretrained("startr")
    with pytest.raises(UserError, match=r"holds no model\.json"):
        pretrained(tmp_path)


def test_a_file_that_was_changed_is_refused(project, tmp_path):
    folder = write_repository(of_study("demo", "masked", root=project), tmp_path / "model")
    assert pretrained(folder / "model.json").about.method == "masked"
    weights = next(folder.glob("*.safetensors"))
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    for sums in ((folder / LIST).read_bytes(), b"\xff nonsense"):
        (folder / LIST).write_bytes(sums)
        with pytest.raises(
            UserError,
            match=r"fold.* is damaged|json is named in no SHA256SUMS",
        ):
            Recognizer(pretrained(folder), keep=False)


def test_a_card_goes_along_when_the_model_is_saved_again(starter, tmp_path):
    saved = starter.save(tmp_path / "own")
    assert "## What it reads" in (saved / "README.md").read_text(encoding="utf-8")
    assert Recognizer.load(saved, keep=False).about == starter.about


class Hub(BaseHTTPRequestHandler):
    """As much of a model hub as fetching and pushing a repository asks for; `server.files` is its content."""

    COMMIT = "c" * 40

    def log_message(self, *_):
        """Nothing."""

    def reply(self, value, status=200, head=None):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for key, text in {
            "Content-Length": str(len(body)),
            "X-Repo-Commit": self.COMMIT,
            **(head or {}),
        }.items():
            self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path, files = unquote(self.path.partition("?")[0]), self.server.files
        self.server.asked.append(path)
        if path.startswith("/api/models/someone/model"):
            names = [
                {"rfilename": name, "size": len(raw), "path": name, "type": "file", "oid": "0"}
                for name, raw in files.items()
            ]
            if "/tree/" in path:
                return self.reply(names)
            return self.reply(
                {"id": "someone/model", "sha": self.COMMIT, "siblings": names, "private": False}
            )
        name = path.rpartition("/")[2]
        if not path.startswith("/someone/model/resolve/") or name not in files:
            return self.reply({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        return self.reply(files[name], 200, {"ETag": f'"{hashlib.sha1(files[name]).hexdigest()}"'})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self):
        import base64

        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/repos/create":
            return self.reply(
                {"url": f"http://{self.headers['Host']}/someone/model", "name": "someone/model"}
            )
        if "/preupload/" in self.path:
            wanted = json.loads(raw)["files"]
            return self.reply(
                {
                    "files": [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in wanted
                    ]
                }
            )
        if "/commit/" in self.path:
            for line in map(json.loads, raw.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.reply(
                {
                    "success": True,
                    "commitOid": self.COMMIT,
                    "commitUrl": f"http://{self.headers['Host']}/someone/model/commit/{self.COMMIT}",
                    "pullRequestUrl": None,
                }
            )
        return self.reply({"valid": True}, 200)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files, server.asked = {}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    import huggingface_hub.constants as constants
    from huggingface_hub import hf_api

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(hf_api.api, "endpoint", address)
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_goes_to_the_hub_and_comes_back_the_same(hub, project, tmp_path):
    from cmarr.recognition.pretrained import push

    trained = of_study("demo", "masked", root=project)
    assert push(trained, "someone/model", token="not a token").endswith("/someone/model")
    assert set(hub.files) == {"README.md", "model.json", LIST, trained.weights[0].name}
    assert hub.files["README.md"].startswith(b"---\nlibrary_name: cmarr\n")

    hub.files["evil.py"] = hub.files["weights.pkl"] = b"raise SystemExit"
    fetched = pretrained("someone/model")
    assert fetched.about == trained.about
    assert fetched.weights[0].read_bytes() == trained.weights[0].read_bytes()
    here = {path.name for path in fetched.weights[0].parent.iterdir()}
    assert here == {"README.md", "model.json", LIST, trained.weights[0].name}
    assert not any("evil" in path or "pkl" in path for path in hub.asked)

    with pytest.raises(UserError, match=r"someone/else is no folder here and cannot be fetched"):
        pretrained("someone/else")
    shutil.rmtree(fetched.weights[0].parent)


def test_without_a_connection_or_a_registry_a_sentence_says_so(project, tmp_path, monkeypatch):
    import mlflow
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from cmarr.recognition.pretrained import push

    def unreachable(*_, **__):
        raise HfHubHTTPError.__mro__[1]("Name or service not known")

    monkeypatch.setattr(HfApi, "create_repo", unreachable)
    with pytest.raises(UserError, match=r"someone/model cannot be written on the hub \(Name or service"):
        push(of_study("demo", "masked", root=project), "someone/model")
    monkeypatch.setattr(mlflow, "get_registry_uri", lambda: f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(
        UserError, match=r"models:/cmarr-demo/1: there is no registry, .* MLFLOW_TRACKING_URI"
    ):
        pretrained("models:/cmarr-demo/1")
    assert not list(tmp_path.iterdir()), "nobody asked for a database"


def test_a_model_of_mlflows_is_a_folder_or_a_file_of_it(project, tmp_path):
    from cmarr.recognition.export import export

    folder = export(of_study("demo", "masked", root=project), tmp_path / "version/artifacts/model")
    (tmp_path / "version/MLmodel").write_text("flavors: {}\n")
    for source in (tmp_path / "version", tmp_path / "version/MLmodel", folder / "model.json"):
        assert pretrained(source).weights[0].parent == Path(folder)


def test_making_them_goes_on_where_it_was_broken_off(tmp_path):
    from starter import make

    asked, source = [], tmp_path / "said.tsv"
    source.write_text("sad\tno\n")

    def rows():
        asked.append(source.read_text())
        for number in (1, 2):
            yield {
                **dict.fromkeys(make.ABOUT, f"a{number}"),
                "text": np.full((number, 3), number, np.float32),
            }

    first, again = (make.kept("text", rows, source, tmp_path / "work") for _ in range(2))
    assert len(asked) == 1 and [row["id"] for row in again] == ["a1", "a2"]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one["text"], other["text"]) and one["text"].dtype == other["text"].dtype
    source.write_text("sad\tno, it is not\n")
    make.kept("text", rows, source, tmp_path / "work")
    assert len(asked) == 2, "what it is made of has changed"
