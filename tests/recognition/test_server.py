"""`cmarr serve` over real HTTP: requests in, replies out, one sentence for whatever is wrong with a request."""

import base64
import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from recordings import face, write_video
from typer.testing import CliRunner

from cmarr.cli import app
from cmarr.serving.messages import Reply
from tests.recognition.under_way import PATIENCE, Server, answered, ask, encoded

sys.path.append(str(Path(__file__).parents[1]))
from documented import lines

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(exported):
    running = Server(exported, "--max-seconds", "20", "--max-clips", "4", "--max-request-megabytes", "2")
    yield running
    if running.process.poll() is None:
        running.end()


def test_it_listens_on_loopback_and_says_where(server):
    assert server.told.startswith("cmarr trained on demo answers at http://127.0.0.1:")
    assert server.url.endswith("/invocations")
    with urllib.request.urlopen(server.url.replace("/invocations", "/ping"), timeout=PATIENCE) as answer:
        assert answer.status == 200


def test_text_media_and_features_are_answered_as_from_python(server, recognizer, clips):
    speech = np.ones((30, 40)).tolist()
    rows = [
        {"id": "said", "text": "hello"},
        {"audio": encoded(clips / "a.wav"), "video": encoded(clips / "a.mp4"), "text": "hello"},
        {"clip": encoded(clips / "a.mp4"), "text": "hello", "hide": ["video"]},
        {"features": {"speech": speech}},
    ]
    status, content = server.send({"inputs": rows})
    assert status == 200
    told = content["predictions"]
    same = [
        recognizer.predict(text="hello"),
        recognizer.predict(audio=clips / "a.wav", video=clips / "a.mp4", text="hello"),
        recognizer.predict(text="hello", hide=["video"]),
        recognizer.predict(features={"speech": speech}),
    ]
    for reply, answer in zip(told, same, strict=True):
        assert reply["probabilities"] == pytest.approx(dict(answer.probabilities), abs=1e-6)
        assert reply["used"] == list(answer.used) and reply["recovered"] == list(answer.recovered)
        assert Reply(**reply).refused is None
    assert [reply["id"] for reply in told] == ["said", "1", "2", "3"]


def test_a_clip_that_cannot_be_answered_costs_the_others_nothing(server, clips):
    rows = [{"text": "hello"}, {"audio": base64.b64encode(b"no sound at all").decode()}]
    status, content = server.send({"inputs": rows})
    answered, refused = content["predictions"]
    assert status == 200 and answered["refused"] is None
    assert "the given audio cannot be opened" in refused["refused"] and refused["winner"] is None
    assert not [word for word in ("/tmp", str(Path.cwd()), "Traceback") if word in json.dumps(content)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_requests_of_the_page(server, clips, tmp_path):
    for name in ("clip.mp4", "interview.mp4"):
        shutil.copy(clips / "a.mp4", tmp_path / name)
    shutil.copy(clips / "long.srt", tmp_path / "interview.srt")
    asked = [line for line in lines(ROOT / "docs/serving.md") if "curl" in line]
    assert len(asked) == 4
    for line in asked:
        typed = line.replace("http://127.0.0.1:5001", server.url.removesuffix("/invocations"))
        done = subprocess.run(["bash", "-c", typed], cwd=tmp_path, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        reply = told["prediction"] if "/predict" in line else told["predictions"][0]
        assert reply["used"] == [
            m for m, key in (("video", ".mp4"), ("text", "expect|srt")) if re.search(key, line)
        ]


AUDIO = base64.b64encode(b"no sound at all").decode()
WRONG = [
    ({"inputs": [{"audio": AUDIO}]}, 400, "inputs[0]: speech: the given audio cannot be opened"),
    ({"inputs": [{"audio": "/etc/passwd"}]}, 400, "inputs[0]: audio: is not base64; encode the bytes of the file"),
    ({"inputs": [{"text": "a", "txet": "b"}]}, 400, "inputs[0]: the key 'txet' does not exist; did you mean 'text'?"),
    ({"inputs": [{"text": 1}]}, 400, "inputs[0]: text: input should be"),
    ({"inputs": [{"text": "a", "hide": ["vidoe"]}]}, 400, "'vidoe' is not a modality"),
    ({"inputs": [{"text": "a", "start": 3, "end": 1}]}, 400, "not the beginning and end"),
    ({"inputs": [{}]}, 400, "inputs[0]: holds nothing to predict from; give clip, audio, video"),
    ({"inputs": ["hello"]}, 400, "inputs[0]: must hold keys and values, not str"),
    ({"inputs": [{"text": "a"}] * 5}, 400, "5 clips in one request, more than max_clips = 4 allows"),
    ({"inputs": [{"text": "x" * 100_001}]}, 400, "more than max_characters = 100000 allows"),
    ({"inputs": [{"features": {"speech": [[1.0]]}}]}, 400, "where (frames, 40) is due"),
    ({"inputs": [{"features": {"speech": [[1.0], [1.0, 2.0]]}}]}, 400, "rows are of different lengths"),
    ({"inputs": [{"features": {"speech": [["x"]]}}]}, 400, "input should be a valid number"),
    ({"inputs": []}, 400, 'write {"inputs": [{"text": "..."}'),
    ({"text": "a"}, 400, 'write {"inputs": [{"text": "..."}'),
    (b"{", 400, "the request is not JSON"),
    (b'{"inputs": [{"text": "\xff"}]}', 400, "the request is not JSON (not UTF-8)"),
    (b'{"inputs": [{"text": "a", "start": NaN}]}', 400, "start: input should be a finite number"),
    (b"[" * 100_000, 400, "the request is nested too deeply"),
    (b"x" * 2_000_001, 413, "more than max_request_megabytes = 2 allows"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_one_sentence(server, body, status, message):
    found, content = server.send(body)
    assert found == status and message in content["message"]
    assert "\n" not in content["message"] and len(content["message"]) < 400
    assert set(content) == {"error_code", "message"}


def test_what_is_no_json_and_what_is_elsewhere(server):
    assert server.send(b"text,a", kind="text/csv")[0] == 415
    assert server.send({"inputs": [{"text": "a"}]}, kind="")[0] == 415
    assert server.send({"inputs": [{"text": "a"}]}, path="/nowhere")[0] == 404
    with pytest.raises(urllib.error.HTTPError, match="405"):  # a GET
        urllib.request.urlopen(server.url, timeout=PATIENCE)


def test_limits_hold_for_what_is_inside_the_files(server, clips, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "long.wav", np.full(8000 * 30, 0.1), 8000)
    status, content = server.send({"inputs": [{"audio": encoded(tmp_path / "long.wav")}]})
    assert status == 400 and "lasts 30 s, more than max_seconds = 20 allows" in content["message"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-seconds", "0"], "max_seconds: 0.0 is no limit; give a number above 0"),
        (["--max-clips", "-1"], "max_clips: -1 is no limit"),
        (["--host", "nowhere.invalid"], "cannot listen on nowhere.invalid, port 5001"),
        (["--port", "0", "--model", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_a_wrong_option_ends_with_2_and_a_sentence(options, message, exported):
    done = CliRunner().invoke(app, ["serve", "--model", str(exported), *options])
    assert done.exit_code == 2 and message in done.output


def test_a_port_that_is_taken(exported):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(app, ["serve", "--model", str(exported), "--port", port])
    assert done.exit_code == 2 and "Address already in use" in done.output


def test_half_a_character_and_invisible_ones_cost_nothing(server, recognizer):
    rows = [
        {"id": "a\ud83d", "text": "well done \ud83d"},
        {"text": "he\u00adllo\ufeff"},
        {"text": "\u200b\u2060"},
    ]
    status, content = server.send({"inputs": rows})
    cut, plain, empty = content["predictions"]
    assert status == 200 and cut["id"] == "a\ud83d"
    assert cut["warnings"] == [
        "the text holds half a character, as of an emoji cut in two; it is read as \ufffd"
    ]
    hello = dict(recognizer.predict(text="hello").probabilities)
    assert plain["probabilities"] == pytest.approx(hello, abs=1e-6) and plain["warnings"] == []
    assert "the transcript is blank" in empty["refused"]


def test_a_clip_of_the_wrong_content_costs_the_others_nothing(server):
    rows = [{"text": "a"}, {}, {"audio": "/etc/passwd"}, {"text": "a", "start": 3, "end": 1}]
    status, content = server.send({"inputs": rows})
    first, *others = content["predictions"]
    assert status == 200 and first["refused"] is None
    assert [reply["refused"].split(";")[0] for reply in others] == [
        "holds nothing to predict from",
        "audio: is not base64",
        "start = 3.0 and end = 1.0 are not the beginning and end of a clip, numbers of seconds",
    ]


def test_sigterm_finishes_the_request_that_is_under_way(server, tmp_path):
    """The last test of this module: it ends the server."""
    write_video(tmp_path / "a.mp4", [face(x=70 + i % 20) for i in range(100)])
    body = json.dumps({"inputs": [{"video": encoded(tmp_path / "a.mp4")}] * 4}).encode()
    asking = ask(server.url, body)
    assert server.end() == (0, ""), (
        "it ends with 0, and nothing had to be said"
    )  # workers get the signal, too
    status, content = answered(asking)
    assert status == 200
    assert [told["used"] for told in content["predictions"]] == [["video"]] * 4
