"""What a server spends on those who wish it ill, and that others do not notice."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import hostile
from benchmarks.soak import phases, table, tree
from cmarr.serving.app import application
from cmarr.serving.budgets import Budgets
from cmarr.serving.messages import About
from cmarr.serving.policy import HEADERS, allowed
from tests.recognition.under_way import encoded


@pytest.fixture(scope="module")
def address(tight):
    host, port = tight.url.split("/")[2].split(":")
    return host, int(port)


def answers(tight):
    """It is there, and predicts."""
    status, content = tight.send({"inputs": [{"text": "hello"}]})
    return status == 200 and content["predictions"][0]["used"] == ["text"]


def test_silent_connections_keep_nobody_out_and_are_closed(tight, address):
    with ExitStack() as open_ones:
        silent = [open_ones.enter_context(hostile.connected(address)) for _ in range(60)]
        assert answers(tight), "more are silent than there may be connections"
        silent[0].sendall(b"GET /ping HTTP/1.1\r\nHost: lo") if not gone(silent[0]) else None
        for connection in silent:
            connection.settimeout(30)
            assert gone(connection)
    assert hostile.dripping_header(address, 0) == "closed"


def gone(connection):
    """Wait until the other side closes it."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_whether_it_is_there_is_told_whatever_the_front_is_busy_with(tight, address):
    (front,) = [
        pid for pid in tree(tight.pid) if b"serving.front" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    counted = pings(tight)
    os.kill(front, signal.SIGSTOP)
    try:
        headers, _ = get(tight, "/ping")
        with hostile.connected(address) as other:
            other.sendall(b"GET /model HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            other.settimeout(0.5)
            with pytest.raises(TimeoutError):
                other.recv(1)
            assert get(tight, "/ping") == (headers, "\n") and get(tight, "/ping", "HEAD")[1] == ""
            os.kill(front, signal.SIGCONT)
            other.settimeout(60)
            assert b"200 OK" in other.recv(1000), "it waited at the door"
    finally:
        os.kill(front, signal.SIGCONT)
    assert headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()
    assert pings(tight) == counted + 3


def pings(tight):
    told = get(tight, "/metrics")[1]
    found = re.search(r'cmarr_requests_total{path="/ping",status="200"} (\d+)', told)
    return int(found[1]) if found else 0


HOARDING = """
import ctypes, sys
from cmarr.serving.heap import keep_small

class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena a b blocks bytes c d used free e".split()]

c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
c.mallinfo2.restype = Told
if sys.argv[1] == "small":
    keep_small()
c.free(c.malloc(20_000_000))  # from here on glibc would take blocks of that size from its heap
before = c.mallinfo2().blocks
c.malloc(4_000_000)
print(c.mallinfo2().blocks - before)
"""


@pytest.mark.parametrize(("heap", "blocks"), [("small", "1"), ("as it is", "0")])
def test_large_blocks_come_from_the_system_and_go_back_to_it(heap, blocks):
    run = subprocess.run([sys.executable, "-c", HOARDING, heap], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == blocks


def test_slow_bodies_are_told_so(tight, address):
    assert hostile.dripping_body(address, 0) == "408"
    assert answers(tight)


@pytest.mark.parametrize("attack", ["rubbish", "boundaries", "compressed", "half_a_character", "nested"])
def test_nonsense_is_refused_by_a_status(address, attack):
    status = getattr(hostile, attack)(address, 1.0)
    assert status == {"compressed": "415"}.get(attack, "400")


HALVES = ("clip", "audio", "video", "start", "end", "hide", "features", "other\\ud800")


@pytest.mark.parametrize("key", HALVES)
def test_half_a_character_is_refused_by_the_name_of_its_field(tight, key):
    value = {"hide": '["\\ud800"]', "features": '{"\\ud800": [[1]]}'}.get(key, '"\\ud800"')
    status, content = tight.send(f'{{"inputs": [{{"text": "a", "{key}": {value}}}]}}'.encode())
    assert status == 400 and content["message"].startswith(f"inputs[0]: {key}: holds half a character")


def test_who_calls_it_by_another_name_or_from_another_page_is_refused(tight, address):
    def status(host, *more):
        with hostile.connected(address) as connection:
            connection.sendall("\r\n".join(["GET /ping HTTP/1.1", f"Host: {host}", *more, "", ""]).encode())
            return connection.recv(12).decode().split()[1]

    assert [status(host) for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST.")] == ["200"] * 4
    assert [status(host) for host in ("evil.example", "10.0.0.1", "localhost.evil.example", "")] == [
        "421"
    ] * 4
    assert status("localhost", "Origin: http://localhost") == "200"
    assert [status("localhost", f"Origin: {page}") for page in ("http://evil.example", "null")] == ["403"] * 2


def test_hosts():
    everywhere = allowed("0.0.0.0", ["box.example"])
    assert everywhere("10.0.0.1:80") and everywhere("box.example:5001") and everywhere("[fe80::1]")
    assert not everywhere("other.example") and not everywhere("[") and not everywhere("")
    assert allowed("127.0.0.1", ["*"])("anything")


FORMS = [
    ([("text", None, b"hello")], 200, ""),
    ([("txet", None, b"hello")], 400, "the key 'txet' does not exist; did you mean 'text'?"),
    ([("text", None, b"hello")] * 2, 400, "text: is there twice"),
    ([("text", None, b"\xff")], 400, "text: is not UTF-8"),
    ([("text", None, b"a"), ("hide", None, b"vidoe")], 400, "'vidoe' is not a modality"),
    ([("text", None, b"a"), ("start", None, b"NaN")], 400, "start: input should be a finite number"),
    ([("text", None, b"a"), ("window", None, b"0.01")], 400, "a window has at least 0.1 s"),
    (
        [("notes", "a.txt", b"x")],
        400,
        "the file 'notes' is no file that is asked for (clip, audio, video, captions)",
    ),
    ([("audio", "../../a.wav", b"no sound")], 400, "the given audio cannot be opened"),
    ([("hide", None, b"text")] * 40, 400, "more than 32 fields"),
    ([], 400, ""),
]


@pytest.mark.parametrize(("fields", "status", "message"), FORMS, ids=range(len(FORMS)))
def test_uploads(tight, fields, status, message):
    found, content = tight.send(form(fields), "multipart/form-data; boundary=cut", "/predict")
    assert found == status and message in content.get("message", ""), content
    assert "/tmp" not in json.dumps(content)


def form(fields):
    parts = []
    for name, file, value in fields:
        named = f'; filename="{file}"' if file else ""
        parts.append(
            f'--cut\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value
        )
    return b"\r\n".join([*parts, b"--cut--\r\n"])


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=other"])
def test_an_upload_that_is_none(tight, kind):
    status, content = tight.send(form(FORMS[0][0]), kind, "/predict")
    assert status == 400 and "the upload cannot be read" in content["message"]


def get(tight, path, method="GET"):
    request = urllib.request.Request(tight.url.replace("/invocations", path), method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(answer.headers), answer.read().decode()


def test_what_is_told_about_it(tight):
    headers, docs = get(tight, "/docs")
    assert "default-src 'none'" in headers["content-security-policy"] and "unsafe" not in str(headers)
    assert "POST /invocations" in docs and "POST /predict" in docs and "//" not in docs.replace("<!", "")
    api = json.loads(get(tight, "/openapi.json")[1])
    assert set(api["paths"]) == {"/invocations", "/predict", "/ping", "/health", "/metrics", "/model"}
    assert json.loads(get(tight, "/health")[1])["status"] == "ok"
    assert get(tight, "/ping", "HEAD")[1] == get(tight, "/health", "HEAD")[1] == ""
    model = json.loads(get(tight, "/model")[1])
    assert model["name"] == "cmarr trained on demo" and model["terms"] == ""
    assert model["classes"] == ["calm", "tense", "glad"] and model["limits"]["max_request_megabytes"] == 4
    metrics = get(tight, "/metrics")[1]
    assert (
        'cmarr_requests_total{path="/docs",status="200"}' in metrics and "cmarr_flight_bytes 0.0" in metrics
    )


class Slow:
    """A link to a model that does not answer."""

    def __init__(self, alive=True):
        self.alive, self.left = alive, False

    async def ask(self, *_):
        if not self.alive:
            raise ConnectionError
        try:
            await asyncio.sleep(3600)
        finally:
            self.left = True


def asked(link, budgets, folder, method="POST", path="/invocations", bodies=(b"{}",), clients="abcd"):
    """(status, headers, content) of requests at once, without a server; a body that is long never ends."""
    about = About(
        name="m",
        terms="",
        dataset="d",
        method="m",
        licence="",
        version="0",
        classes=[],
        modalities=[],
        limits={},
    )
    app, _ = application(about, budgets, lambda: link, allowed("127.0.0.1", []), Path(folder))
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": headers,
        "query_string": b"",
        "root_path": "",
    }

    async def one(body, client):
        sent, there = [], [{"type": "http.request", "body": body, "more_body": len(body) > 100}]

        async def receive():
            return there.pop() if there else await asyncio.sleep(3600)

        async def send(message):
            sent.append(message)

        await app(scope | {"client": (client, 1)}, receive, send)
        start, *rest = sent
        content = b"".join(message.get("body", b"") for message in rest)
        return start["status"], dict(start["headers"]), json.loads(content)

    async def all_of_them():
        return await asyncio.gather(*map(one, bodies, clients))

    return asyncio.run(all_of_them())


def test_a_request_that_is_not_answered_in_time_is_given_up(tmp_path):
    link = Slow()
    ((status, headers, content),) = asked(link, Budgets(request_seconds=0.2), tmp_path)
    assert status == 503 and headers[b"retry-after"] == b"5" and link.left
    assert (
        content["error_code"] == "TEMPORARILY_UNAVAILABLE" and "request_seconds = 0.2" in content["message"]
    )
    assert not list(tmp_path.iterdir())


def test_more_requests_than_may_wait_are_refused_at_once(tmp_path):
    """And of one client more than its share."""
    budgets = Budgets(request_seconds=0.3, max_waiting=2)
    told = asked(Slow(), budgets, tmp_path, bodies=[b"{}"] * 4, clients="aabc")
    assert [status for status, _, _ in told] == [503, 429, 503, 503]
    assert told[1][1][b"retry-after"] == b"5" and told[1][2]["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert told[1][2]["message"] == "1 request of a waits already, half of max_waiting = 2"
    assert told[3][2]["message"] == "2 requests wait already, as many as max_waiting = 2 allows"
    assert all("request_seconds" in told[i][2]["message"] for i in (0, 2))


def test_bodies_together_are_bounded_and_a_text_finds_room(tmp_path):
    budgets = Budgets(request_seconds=0.2, body_seconds=0.3, max_flight_megabytes=1)
    first, second, text = asked(Slow(), budgets, tmp_path, bodies=[b"x" * 600_000, b"x" * 600_000, b"{}"])
    assert first[0] == 408 and first[2]["message"] == "the body did not come within body_seconds = 0.3"
    assert second[0] == 503 and second[1][b"retry-after"] == b"5"
    assert second[2]["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert second[2]["message"] == "all requests together hold as much as max_flight_megabytes = 1 allows"
    assert "request_seconds" in text[2]["message"], "it came as far as the model"
    assert not list(tmp_path.iterdir())


def test_a_model_that_has_gone(tmp_path):
    gone = Slow(alive=False)
    ((status, _, content),) = asked(gone, Budgets(), tmp_path)
    assert status == 503 and content["message"] == "the model has gone"
    ((status, _, content),) = asked(gone, Budgets(), tmp_path, "GET", "/health")
    assert status == 503 and content["status"] == "the model has gone"


def test_an_upload_of_a_recording(tight, clips):
    body = form(
        [
            ("clip", "a.mp4", (clips / "a.mp4").read_bytes()),
            ("captions", "a.srt", (clips / "long.srt").read_bytes()),
        ]
    )
    status, content = tight.send(body, "multipart/form-data; boundary=cut", "/predict")
    assert status == 200 and content["prediction"]["used"] == ["video", "text"]
    assert set(content["hidden"]) == {"video", "text"} and content["doubt"]
    same = tight.send({"inputs": [{"clip": encoded(clips / "a.mp4"), "text": "first words last words"}]})[1]
    assert content["prediction"]["probabilities"] == pytest.approx(
        same["predictions"][0]["probabilities"], abs=1e-6
    )


def test_the_soak_in_short(tight, exported):
    """Every attack at once, small: everybody else is answered, and the server is there all the while."""
    url = tight.url.removesuffix("/invocations")
    found = phases(url, tight.pid, str(exported), 2.0, 0.4, clients=4, megabytes=1.0)
    attacked = found["with a hostile client"]
    for kind, own in {**found["calm"]["requests"], **attacked["requests"]}.items():
        assert set(own["statuses"]) == ({"400"} if kind == "wrong" else {"200"}), kind
    outcomes = attacked["hostile"]
    assert set(outcomes["silent"]) == set(outcomes["dripping_header"]) == {"closed"}
    assert set(outcomes["many_values"]) <= {"400", "503"}
    assert "500" not in {status for one in outcomes.values() for status in one}
    assert attacked["ping"]["median"] < 1  # what waits for an attack to end waits for seconds
    assert "with a hostile client: 4 clients" in table(found)
