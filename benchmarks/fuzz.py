"""Damaged media files through the decoders: `python -m benchmarks.fuzz [--count 1000] [--kinds wav mp4 ...]`.

Every file is either read or refused in one sentence; a crash, a hang or a Python error of the reader is counted apart.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cmarr.media.audio import Samples
from cmarr.media.clips import Clip, Failure
from cmarr.media.faces import FaceReader
from cmarr.media.workers import decode

sys.path.append(str(Path(__file__).parents[1] / "tests" / "media"))
from damaged_media import KINDS, mutated, seeds

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    arguments = parser.parse_args()
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
