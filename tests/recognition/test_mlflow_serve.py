"""`mlflow models serve --env-manager local`: a registered model answers real HTTP requests."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from recordings import face, write_video

from cmarr.recognition.trained import of_study
from cmarr.serving.register import write_mlflow_model
from tests.recognition.under_way import ALONE, PATIENCE, answered, ask
from tests.warm import python

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def served(project, tmp_path_factory):
    """The number of the process that serves, and its address. Its folder is empty: no study, no corpus, no DVC."""
    here = tmp_path_factory.mktemp("elsewhere")
    model = here / "a model"
    write_mlflow_model(of_study("demo", "cmarr", root=project), model)
    limits = {"max_seconds": 20, "workers": 1}
    blocked = f"{ALONE}sys.modules['dvc'] = None; from mlflow.cli import cli; cli()"
    serve = ["models", "serve", "-m", str(model), "--env-manager", "local", "--host", "127.0.0.1", "-p"]
    binaries = str(Path(sys.executable).parent)
    said = here / "said"
    while True:
        port = str(free_port())
        with said.open("w") as output:
            process = subprocess.Popen(
                [python(), "-c", blocked, sys.executable, *serve, port],
                cwd=here,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
                    "SERVING_MODEL_CONFIG": json.dumps(limits),
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        address = f"http://127.0.0.1:{port}"
        if answers(process, f"{address}/ping"):
            break
        # somebody else may have taken the port since it was free
        assert "address already in use" in said.read_text().lower(), said.read_text()
    pid = int(said.read_text().split()[0])
    yield pid, f"{address}/invocations"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    process.wait()


def answers(process, url):
    """Wait until the server does; False where it ends instead."""
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return True
        except OSError:
            time.sleep(0.2)
    return False


def send(url, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def encoded(path):
    return base64.b64encode(Path(path).read_bytes()).decode()


def test_text_media_and_features_are_answered(served, recognizer, clips):
    rows = [
        {"id": "said", "text": "hello"},
        {"audio": encoded(clips / "a.wav"), "video": encoded(clips / "a.mp4")},
        {"features": {"speech": np.ones((30, 40)).tolist()}, "hide": ["text"]},
    ]
    status, content = send(served[1], {"inputs": rows})
    assert status == 200
    said, seen, given = content["predictions"]
    assert said["id"] == "said" and said["recovered"] == ["speech", "video"]
    assert said["probabilities"] == pytest.approx(
        dict(recognizer.predict(text="hello").probabilities), abs=1e-6
    )
    assert seen["used"] == ["speech", "video"] and given["used"] == ["speech"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": "/etc/passwd"}, "inputs[0]: audio: is not base64"),
        (
            {"audio": base64.b64encode(b"x" * 50_000).decode()},
            "inputs[0]: speech: the given audio cannot be opened",
        ),
        ({"txet": "hello"}, "the key 'txet' does not exist; did you mean 'text'?"),
        ({"text": "hello", "hide": ["vidoe"]}, "'vidoe' is not a modality"),
        ({}, "holds nothing to predict from"),
    ],
)
def test_wrong_input_is_400_and_a_sentence(served, row, message):
    status, content = send(served[1], {"inputs": [row]})
    assert status == 400 and message in content["message"]
    assert "stack_trace" not in content and len(content["message"]) < 400, (
        "a sentence, and no echo of the request"
    )


def test_the_limits_are_those_that_it_was_told(served, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "long.wav", np.full(8000 * 30, 0.1), 8000)
    status, content = send(served[1], {"inputs": [{"audio": encoded(tmp_path / "long.wav")}]})
    assert status == 400 and "lasts 30 s, more than max_seconds = 20 allows" in content["message"]


def test_sixteen_clients_at_once_get_what_one_does(served, clips):
    """And what is no JSON, among the rest, costs nobody anything."""
    bodies = [
        {"inputs": [{"text": "hello"}]},
        {"inputs": [{"audio": encoded(clips / "a.wav")}]},
        {"inputs": [{"video": encoded(clips / "a.mp4"), "text": "hello"}]},
        {"inputs": [{"txet": "hello"}]},
        b"[" * 900 + b"]" * 900,
        b"\xff\xfe{",
        b"",
    ]
    alone = [send(served[1], body) for body in bodies]
    with ThreadPoolExecutor(16) as clients:
        found = list(clients.map(lambda body: send(served[1], body), bodies * 3))
    assert [status for status, _ in found] == [200, 200, 200, 400, 400, 400, 400] * 3
    for (_, told), (_, due) in zip(found, alone * 3, strict=True):
        assert (
            told == due
            or "predictions" not in due
            or told["predictions"][0]["probabilities"]
            == pytest.approx(due["predictions"][0]["probabilities"], abs=1e-6)
        )


def test_sigterm_finishes_the_request_that_is_under_way(served, tmp_path):
    """The last test of this module: it ends the server."""
    pid, url = served
    write_video(tmp_path / "a.mp4", [face(x=70 + i % 20) for i in range(100)])
    body = json.dumps({"inputs": [{"video": encoded(tmp_path / "a.mp4")}] * 4}).encode()
    asking = ask(url, body)
    os.killpg(pid, signal.SIGTERM)
    status, content = answered(asking)
    assert status == 200 and [told["used"] for told in content["predictions"]] == [["video"]] * 4
