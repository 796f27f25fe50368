"""Damaged media files through the decoders: `python -m benchmarks.fuzz [--count 1000] [--kinds wav mp4 ...]`.

Every file is either read or refused in one sentence; a crash, a hang or a Python error of the reader is counted apart.
With `--model exported`, a folder that `cmarr export` wrote, they go through prediction from end to end: `--count` files
in all, some under another kind's ending, some empty, some with headers of the largest numbers.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cmarr import Recognizer
from cmarr.media.audio import Samples
from cmarr.media.clips import Clip, Failure
from cmarr.media.faces import FaceReader
from cmarr.media.worker_pool import IDLE, decode
from cmarr.recognition.clips import clip_from
from cmarr.recognition.prediction import Refusal
from cmarr.recognition.reading import Limits

sys.path.append(str(Path(__file__).parents[1] / "tests" / "media"))
from damaged_media import KINDS, hostile, mutated, seeds

LIMIT = 20.0
"""Seconds a file may take."""


def outcome(answer: object) -> str:
    """What became of a file."""
    if not isinstance(answer, Failure):
        return "read"
    if "crashed" in answer.reason:
        return "crashed its worker"
    if "took longer" in answer.reason:
        return "ran into the time limit"
    return "a Python error" if "Error:" in answer.reason else "refused in a sentence"


def through_prediction(model: str, count: int) -> None:
    """Answer `count` damaged files one after another, and print what became of them."""
    limits = Limits(max_seconds=60.0, time_limit=LIMIT / 2)
    with (
        Recognizer.load(model, workers=1, limits=limits) as recognizer,
        tempfile.TemporaryDirectory() as scratch,
    ):
        paths = hostile(Path(scratch), count)
        counted: Counter[str] = Counter()
        longest, odd, before = (0.0, ""), [], 0
        for number, path in enumerate(paths):
            started = time.monotonic()
            (answer,) = recognizer.predict_all([clip_from(path, scratch=Path(scratch))])
            longest = max(longest, (time.monotonic() - started, path.name))
            told = [answer.reason] if isinstance(answer, Refusal) else list(answer.missing.values())
            fates = {outcome(Failure(reason)) for reason in told} - {"refused in a sentence"}
            counted[next(iter(fates), "refused" if isinstance(answer, Refusal) else "answered")] += 1
            odd += [f"{path.name}: {reason}" for reason in told if fates]
            if number == count // 10:
                before = memory()
        print(
            f"{count} damaged files through prediction: "
            + ", ".join(f"{n} {w}" for w, n in counted.most_common())
        )
        print(
            f"  longest {longest[0]:.1f} s ({longest[1]}); memory of this process {before:.0f} MB after a tenth, "
        )
        print(f"  {memory():.0f} MB at the end, of the largest worker {children():.0f} MB at most")
        print("".join(f"  {line}\n" for line in odd[:10]), end="")


def memory() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def children() -> float:
    """Most megabytes that any worker that has ended held."""
    IDLE.end()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--model", help="a folder that `cmarr export` wrote")
    arguments = parser.parse_args()
    if arguments.model:
        through_prediction(arguments.model, arguments.count)
        return
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory() as scratch:
            paths = mutated(kind, seeds(kind, Path(scratch)), Path(scratch), arguments.count)
            factory = {"audio": Samples, "video": FaceReader}[KINDS[kind][0]]
            started = time.monotonic()
            answers = list(decode(factory, ([Clip(str(path))] for path in paths), workers=2, seconds=LIMIT))
            counted = ", ".join(f"{n} {what}" for what, n in Counter(map(outcome, answers)).most_common())
            print(
                f"{kind}: {len(answers)} files in {time.monotonic() - started:.0f} s: {counted}", flush=True
            )
            odd = [a.reason for a in answers if outcome(a) not in ("read", "refused in a sentence")]
            for reason in odd[:5]:
                print(f"  {reason}")


if __name__ == "__main__":
    main()
