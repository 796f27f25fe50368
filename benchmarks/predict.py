"""How fast clips are answered: `python -m benchmarks.predict --model exported [--clips 64] [--seconds 4]`.

Clips of a drawn face and of noise are made for it, with the weight-free encoders in mind. Printed are the first answer
of a fresh `cmarr predict`, later ones one by one within a process, and the throughput of many at once.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from cmarr import Recognizer
from cmarr.utterance import Utterance

sys.path.append(str(Path(__file__).parents[1] / "tests" / "media"))
from recordings import face, write_video


def make_clips(folder: Path, count: int, seconds: float) -> list[Utterance]:
    """Sound, a moving face of 640 x 480 pixels at 25 frames/s, and a text each; all different files."""
    rng = np.random.default_rng(0)
    images = [face(640, 480, 320 + 40 * np.sin(i / 8), 240, 110) for i in range(round(25 * seconds))]
    first = folder / "0.mp4"
    write_video(first, images)
    clips = []
    for i in range(count):
        video, audio = folder / f"{i}.mp4", folder / f"{i}.wav"
        if i:
            video.write_bytes(first.read_bytes())
        soundfile.write(audio, 0.1 * rng.normal(size=round(16_000 * seconds)), 16_000)
        clips.append(Utterance(str(i), audio=str(audio), video=str(video), text="well, that is a surprise"))
    return clips


def first_answer(model: str, clip: Utterance) -> tuple[float, float]:
    """Seconds from typing the command to its end, and processor seconds of all its processes together."""
    before, started = os.times(), time.monotonic()
    words = ["predict", str(clip.video), "--text", str(clip.text), "--model", model]
    code = f"import sys; from cmarr.cli import app; sys.argv = ['cmarr', *{words!r}]; app()"
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - started, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        clips = make_clips(Path(scratch), arguments.clips, arguments.seconds)
        took, used = first_answer(arguments.model, clips[0])
        print(
            f"first answer of `cmarr predict`: {took:.2f} s, {used:.2f} s of processor time in all processes"
        )
        with Recognizer.load(arguments.model) as recognizer:
            next(recognizer.predict_all(clips[:1]))
            later = []
            for clip in clips[: min(20, len(clips))]:
                started = time.monotonic()
                next(recognizer.predict_all([clip]))
                later.append(time.monotonic() - started)
            print(
                f"later ones, one by one: median {statistics.median(later):.3f} s, longest {max(later):.3f} s "
                f"for {arguments.seconds:g} s of sound and video"
            )
            started = time.monotonic()
            answers = list(recognizer.predict_all(clips))
            took = time.monotonic() - started
            print(f"{len(answers)} at once: {took:.1f} s, {len(answers) / took:.1f} clips/s")


if __name__ == "__main__":
    main()
