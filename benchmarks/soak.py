"""500 requests to a server on loopback: `python -m benchmarks.soak --model exported [--requests 500] [--json FILE]`.

`cmarr serve` is started as a user would start it. Requests of every kind follow one another, every tenth of them wrong:
text, sound, video with a face, all three, features, several clips at once. Printed are what became of them, how long
they took, and how much memory the server and its decoders held after each fifth; at the end the server gets SIGTERM.
"""

import argparse
import base64
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.predict import make_clips
from cmarr.files import write_json
from cmarr.recognition.trained import exported, widths

WRONG: list[dict[str, Any]] = [
    {"audio": "/etc/passwd"},
    {"audio": base64.b64encode(b"no sound at all" * 1000).decode()},
    {"txet": "well"},
    {},
]


def requests(model: str, folder: Path, seconds: float) -> list[tuple[str, list[dict[str, Any]]]]:
    """(kind, clips) of the requests that are sent in turn."""
    made = make_clips(folder, 4, seconds)
    coded = [{kind: encoded(getattr(clip, kind)) for kind in ("audio", "video")} for clip in made]
    text = {"text": "well, that is a surprise"}
    letter, width = next(iter(widths(exported(model)).items()))
    features = {"features": {{"s": "speech", "v": "video", "t": "text"}[letter]: [[0.1] * width] * 50}}
    return [
        ("text", [text]),
        ("sound", [{"audio": coded[0]["audio"]}]),
        ("video", [{"video": coded[1]["video"]}]),
        ("all three", [{**coded[2], **text}]),
        ("features", [features]),
        ("four clips", [{**one, **text} for one in coded]),
    ]


def encoded(path: str) -> str:
    """The bytes of a file in base64."""
    return base64.b64encode(Path(path).read_bytes()).decode()


def send(url: str, clips: list[dict[str, Any]]) -> int:
    """The status of the answer."""
    request = urllib.request.Request(
        url, json.dumps({"inputs": clips}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            json.load(answer)
            return answer.status
    except urllib.error.HTTPError as error:
        json.load(error)
        return error.code


def megabytes(process: int) -> tuple[float, float]:
    """Memory that a process holds, and all its children together."""
    page = resource.getpagesize() / 1e6

    def held(pid: int | str) -> float:
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
        except OSError:
            return 0.0

    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return held(process), sum(map(held, children))


def soak(model: str, count: int, seconds: float) -> dict[str, Any]:
    """What became of the requests, and what the server held."""
    command = [sys.executable, "-m", "cmarr.cli", "serve", "--model", model, "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        url = server.stdout.readline().split(" at ")[-1].strip()
        kinds = requests(model, Path(scratch), seconds)
        statuses: Counter[str] = Counter()
        took: dict[str, list[float]] = {}
        memory = []
        for number in range(count):
            kind, clips = (
                ("wrong", [WRONG[number // 10 % len(WRONG)]])
                if number % 10 == 9
                else kinds[number % len(kinds)]
            )
            started = time.monotonic()
            statuses[f"{kind}: {send(url, clips)}"] += 1
            took.setdefault(kind, []).append(time.monotonic() - started)
            if (number + 1) % (count // 5) == 0:
                own, children = megabytes(server.pid)
                memory.append(
                    {"requests": number + 1, "server_mb": round(own), "decoders_mb": round(children)}
                )
        server.send_signal(signal.SIGTERM)
        ended = server.wait(60)
    return {
        "requests": count,
        "clip_seconds": seconds,
        "cores": len(os.sched_getaffinity(0)),
        "statuses": dict(sorted(statuses.items())),
        "seconds": {
            kind: {"median": round(statistics.median(own), 3), "longest": round(max(own), 3)}
            for kind, own in took.items()
        },
        "memory": memory,
        "exit_status_after_sigterm": ended,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the clips")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    found = soak(arguments.model, arguments.requests, arguments.seconds)
    print(
        f"{found['requests']} requests one after another, clips of {found['clip_seconds']:g} s, "
        f"{found['cores']} cores, load {os.getloadavg()[0]:.1f}"
    )
    for kind, seconds in found["seconds"].items():
        told = ", ".join(
            f"{n} x {s.split(': ')[1]}" for s, n in found["statuses"].items() if s.startswith(f"{kind}:")
        )
        print(f"  {kind:<11} {told:<10} median {seconds['median']:.3f} s, longest {seconds['longest']:.3f} s")
    for row in found["memory"]:
        print(
            f"  after {row['requests']:>4}: server {row['server_mb']} MB, its decoders {row['decoders_mb']} MB"
        )
    print(f"  exit status after SIGTERM: {found['exit_status_after_sigterm']}")
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
