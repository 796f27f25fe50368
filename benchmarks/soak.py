"""16 clients at a server on loopback, the last hostile: `python -m benchmarks.soak [--model starter] [--seconds 60]`.

`cmarr serve` is started as a user would start it. 15 clients send requests of every kind one after another, every tenth
of them wrong: text, sound, video with a face, all three, features, several clips at once. Another process asks all the
while whether the server is there. For as long again, the hostile client (benchmarks/hostile.py) joins them. Printed
are what became of the requests, how long they took, and how much memory the processes held; at the end the server gets
SIGTERM.
"""

import argparse
import base64
import contextlib
import json
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.hostile import attack
from cmarr.files import write_json

CLIENTS = 16
"""The hostile one is one of them."""

PING = 0.1
"""Seconds in which /ping is to be answered."""

WRONG: list[dict[str, Any]] = [
    {"audio": "/etc/passwd"},
    {"audio": base64.b64encode(b"no sound at all" * 1000).decode()},
    {"txet": "well"},
    {},
]

Asked = list[tuple[str, int, float]]
"""Kind, status and seconds of each request."""


def requests(model: str, folder: Path, seconds: float) -> list[tuple[str, list[dict[str, Any]]]]:
    """(kind, clips) of the requests that are sent in turn."""
    # Here, for the processes of `phase` import this file, and need none of it.
    from cmarr.modalities import NAMES
    from cmarr.recognition.pretrained import pretrained
    from cmarr.recognition.trained import widths

    coded = [media(folder, seed, seconds) for seed in range(4)]
    text = {"text": "well, that is a surprise"}
    letter, width = next(iter(widths(pretrained(model)).items()))
    features = {"features": {NAMES[letter]: [[0.1] * width] * 50}}
    return [
        ("text", [text]),
        ("sound", [{"audio": coded[0]["audio"]}]),
        ("text", [text]),
        ("video", [{"video": coded[1]["video"]}]),
        ("features", [features]),
        ("all three", [{**coded[2], **text}]),
        ("text", [text]),
        ("four clips", [{**one, **text} for one in coded]),
    ]


def media(folder: Path, seed: int, seconds: float) -> dict[str, str]:
    """Noise, and a moving face of 640 x 480 pixels at 25 frames/s, in base64."""
    import numpy as np
    import soundfile

    sys.path.append(str(Path(__file__).parents[1] / "tests" / "media"))
    from recordings import face, write_video

    paths = {"audio": folder / "sound.wav", "video": folder / "face.mp4"}
    noise = 0.1 * np.random.default_rng(seed).normal(size=round(16_000 * seconds))
    soundfile.write(paths["audio"], noise, 16_000)
    places = [320 + 40 * np.sin(i / 8) for i in range(round(25 * seconds))]
    write_video(paths["video"], [face(640, 480, place, 240, 110) for place in places])
    return {kind: base64.b64encode(path.read_bytes()).decode() for kind, path in paths.items()}


def send(url: str, body: bytes) -> int:
    """The status of the answer."""
    request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            json.load(answer)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        json.load(error)
        return error.code


def client(url: str, kinds: list[tuple[str, list[dict[str, Any]]]], first: int, seconds: float) -> Asked:
    """Requests one after another, from the `first` kind on."""
    asked, end, number = [], time.monotonic() + seconds, first
    bodies = [(kind, json.dumps({"inputs": clips}).encode()) for kind, clips in kinds]
    wrong = [json.dumps({"inputs": [clip]}).encode() for clip in WRONG]
    while time.monotonic() < end:
        kind, body = (
            ("wrong", wrong[number // 10 % len(wrong)]) if number % 10 == 9 else bodies[number % len(bodies)]
        )
        started = time.monotonic()
        asked.append((kind, send(url, body), time.monotonic() - started))
        number += 1
    return asked


def ping(url: str, seconds: float) -> list[float]:
    """Seconds that each of many questions took whether the server is there, a tenth of a second apart."""
    with contextlib.suppress(
        OSError
    ):  # whoever asks should not wait for the processor either, where that is allowed
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        with urllib.request.urlopen(f"{url}/ping", timeout=300) as answer:
            assert answer.status == 200
        took.append(time.monotonic() - started)
        time.sleep(0.1)
    return took


def tree(process: int) -> Iterator[int]:
    """A process and all below it."""
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        for task in Path(f"/proc/{process}/task").iterdir():
            children += [c for c in (task / "children").read_text().split() if c not in children]
    except OSError:
        return
    for child in children:
        yield from tree(int(child))


def memory(process: int) -> dict[str, int]:
    """Memory that the server's processes hold: what answers, what speaks HTTP, and what decodes."""
    held = {"model": 0.0, "front": 0.0, "decoders": 0.0}
    for pid in tree(process):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text()
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
        part = "model" if pid == process else "front" if "cmarr.serving." in words else "decoders"
        held[part] += pages * resource.getpagesize() / 1e6
    return {name: round(value) for name, value in held.items()}


@contextmanager
def most_held(process: int) -> Iterator[dict[str, int]]:
    """The most that the processes held while the block ran, complete at its end."""
    most: Counter[str] = Counter()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.2):
            now = memory(process)
            for name, value in {**now, "together": sum(now.values())}.items():
                most[name] = max(most[name], value)

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield most
    finally:
        done.set()
        watching.join()


def phase(
    url: str, process: int, kinds: Any, seconds: float, clients: int, megabytes: float
) -> dict[str, Any]:
    """What became of all requests of some seconds, and how much memory was held.

    megabytes: of the hostile client's large bodies; 0: there is none
    """
    host, port = url.removeprefix("http://").split(":")
    with (
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as others,
        ThreadPoolExecutor(clients) as pool,
        most_held(process) as most,
    ):
        pings = others.submit(ping, url, seconds)
        attacked = others.submit(attack, (host, int(port)), seconds, megabytes) if megabytes else None
        good = [pool.submit(client, url, kinds, i, seconds) for i in range(clients - (megabytes > 0))]
        asked = [one for each in good for one in each.result()]
        took = pings.result()
        outcomes = attacked.result() if attacked else {}
    return {
        "clients": clients,
        "requests": told(asked),
        "ping": {**spread(took), "within": sum(t <= PING for t in took) / len(took)},
        "hostile": outcomes,
        "most_megabytes": dict(most),
    }


def told(asked: Asked) -> dict[str, Any]:
    """By kind: the statuses, and the seconds that it took."""
    by_kind: dict[str, Any] = {}
    for kind in dict.fromkeys(kind for kind, _, _ in asked):
        own = [(status, seconds) for k, status, seconds in asked if k == kind]
        statuses = Counter(str(status) for status, _ in own)
        by_kind[kind] = {"statuses": dict(statuses), **spread([seconds for _, seconds in own])}
    return by_kind


def spread(seconds: list[float]) -> dict[str, float]:
    ranked = sorted(seconds)
    return {
        "count": len(ranked),
        "median": round(statistics.median(ranked), 3),
        "p95": round(ranked[int(0.95 * (len(ranked) - 1))], 3),
        "longest": round(ranked[-1], 3),
    }


def soak(model: str, seconds: float, clip_seconds: float, clients: int = CLIENTS) -> dict[str, Any]:
    """What `phases` finds of a server that is started for it, and how that ends."""
    command = [sys.executable, "-m", "cmarr.cli", "serve", "--model", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split(" at ")[-1].strip().removesuffix("/invocations")
        found = phases(url, server.pid, model, seconds, clip_seconds, clients)
        server.send_signal(signal.SIGTERM)
        return {**found, "exit_status_after_sigterm": server.wait(300)}


def phases(
    url: str,
    process: int,
    model: str,
    seconds: float,
    clip_seconds: float,
    clients: int,
    megabytes: float = 40.0,
) -> dict[str, Any]:
    """Friendly clients, then a hostile one among them, and what memory is held before and after."""
    with tempfile.TemporaryDirectory() as scratch:
        kinds = requests(model, Path(scratch), clip_seconds)
    before = memory(process)
    calm = phase(url, process, kinds, seconds, clients, 0.0)
    attacked = phase(url, process, kinds, seconds, clients, megabytes)
    time.sleep(min(seconds, 5.0))
    return {
        "model": Path(model).name,
        "seconds": seconds,
        "clip_seconds": clip_seconds,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "calm": calm,
        "with a hostile client": attacked,
        "megabytes": {"before": before, "after": memory(process)},
    }


def table(found: dict[str, Any]) -> str:
    """What was found, as lines of text."""
    lines = [
        f"{found['model']}, clips of {found['clip_seconds']:g} s, {found['cores']} cores, load {found['load']}"
    ]
    for name in ("calm", "with a hostile client"):
        part = found[name]
        lines += [
            "",
            f"{name}: {part['clients']} clients, {found['seconds']:g} s",
            "  request     answers                       median      95 %   longest",
        ]
        for kind, own in {**part["requests"], "/ping": part["ping"]}.items():
            answers = ", ".join(
                f"{n} x {status}" for status, n in own.get("statuses", {"200": own["count"]}).items()
            )
            lines.append(
                f"  {kind:<11} {answers:<26} {own['median']:>8.3f} s {own['p95']:>7.3f} s {own['longest']:>7.3f} s"
            )
        lines.append(f"  /ping within {PING} s: {100 * part['ping']['within']:.2f} %")
        for attack_name, outcomes in part["hostile"].items():
            lines.append(f"  {attack_name:<17} " + ", ".join(f"{n} x {o}" for o, n in outcomes.items()))
        lines.append(f"  most memory: {held(part['most_megabytes'])}")
    lines += ["", *(f"memory {when}: {held(own)}" for when, own in found["megabytes"].items())]
    return "\n".join(lines)


def markdown(found: dict[str, Any]) -> str:
    """The seconds of both phases side by side, as docs/serving.md shows them."""
    calm, attacked = found["calm"], found["with a hostile client"]
    lines = ["| | median | longest | median | longest |", "|---|--:|--:|--:|--:|"]
    for kind, own in {**calm["requests"], "/ping": calm["ping"]}.items():
        then = attacked["requests"].get(kind, attacked["ping"])
        cells = [f"{part[name]:g}" for part in (own, then) for name in ("median", "longest")]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def held(parts: dict[str, int]) -> str:
    return ", ".join(f"{name} {value} MB" for name, value in parts.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--clip-seconds", type=float, default=2.0, help="length of the clips")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    found = soak(arguments.model, arguments.seconds, arguments.clip_seconds, arguments.clients)
    print(table(found))
    print(f"exit status after SIGTERM: {found['exit_status_after_sigterm']}")
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
