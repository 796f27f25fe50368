"""Everything that comes from outside, damaged at random: `python -m benchmarks.abuse --seed N --minutes M`.

What is damaged goes through the door that a user would take, in a process that may take 2 GB and some seconds. Counted
is what was refused in a sentence and what was accepted, and apart from these: a Python error or a crash, what took too
long, what ran code that stood in a file, and what was accepted with other content than was written, or with numbers
that are none. Then come surroundings that no file makes (`benchmarks.abuse.surroundings`). The table goes to standard
output, the figures to benchmarks/results/abuse.json under the seed, and each file that did not do well to `--keep`.
"""

import argparse
import json
import pickle
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.abuse.doors import through
from benchmarks.abuse.kinds import KINDS, Kind
from benchmarks.abuse.surroundings import SURROUNDINGS
from cmarr.errors import UserError
from cmarr.media.clips import Failure
from cmarr.media.foreign import Foreign, Task
from cmarr.media.worker_pool import IDLE, decode

SECONDS, CLOCK = 10.0, 60.0
"""Of processor time, and by the clock, that one file may take."""
MEMORY = 2 * 2**30
AT_ONCE = 25
RESULTS = Path(__file__).parents[1] / "results" / "abuse.json"
FATES = ("refused", "accepted", "crash", "hang", "code run", "silent")
BAD = FATES[2:]


class Kept:
    """A kind with a good one of it, and what has become of its damaged copies."""

    def __init__(self, name: str, kind: Kind, scratch: Path):
        self.name, self.kind = name, kind
        self.folder = scratch / name.replace(": ", "-").replace(" ", "-")
        self.folder.mkdir()
        self.good = self.folder / kind.name
        kind.make(self.good)
        self.counted: Counter[str] = Counter()
        self.whole = self.opened([self.folder])[0]
        if isinstance(self.whole, Failure | UserError):
            raise RuntimeError(f"{name}: the good one is not accepted ({self.whole})")

    def opened(self, places: list[Path]) -> list[object]:
        """What becomes of those in some folders."""
        tasks = [[_task(place, self.kind)] for place in places]
        return [_answer(result) for result in decode(Foreign, tasks, workers=1, seconds=CLOCK)]

    def abuse(self, draw: random.Random, marker: Path, keep: Path) -> list[str]:
        """Damage some copies and open them; a sentence about each that did not do well."""
        places = [self.folder / f"{self.counted.total() + i}" for i in range(AT_ONCE)]
        for place in places:
            self.kind.damage(self.good, place, draw, marker)
        told = []
        for place, answer in zip(places, self.opened(places), strict=True):
            fate = self.fate(answer)
            if marker.exists():
                fate = "code run"
                marker.unlink()
            self.counted[fate] += 1
            if fate in BAD:
                told.append(f"{self.name}, {fate}: {str(answer)[:300]}")
                _keep(place, keep / f"{self.folder.name}-{fate}-{place.name}".replace(" ", "-"))
            shutil.rmtree(place, ignore_errors=True)
        return told

    def fate(self, answer: object) -> str:
        """One of `FATES`."""
        if isinstance(answer, UserError):
            text = str(answer)
            sentence = len(text) < 3000 and "Traceback" not in text and "reader gave up" not in text
            return "refused" if sentence else ("hang" if "processor time" in text else "crash")
        if isinstance(answer, Failure):
            slow = "processor time" in answer.reason or "took longer" in answer.reason
            return "hang" if slow else "silent" if answer.reason.startswith("AssertionError") else "crash"
        return "silent" if self.kind.sealed and answer != self.whole else "accepted"


def _task(place: Path, kind: Kind) -> Task:
    return Task(str(place), through, (kind.name, kind.door), SECONDS, MEMORY)


def _answer(result: object) -> object:
    """A worker's result, or the error with which the file was refused."""
    return getattr(result, "error", result)


def _keep(place: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(
        place,
        kept,
        symlinks=True,
        ignore=lambda folder, names: [n for n in names if Path(folder, n).is_fifo()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--kinds", nargs="*", help="only those whose names begin so")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "abused"))
    parser.add_argument("--no-surroundings", action="store_true")
    parser.add_argument("--surroundings", nargs="*", choices=SURROUNDINGS, help="only these, and no files")
    arguments = parser.parse_args()
    if arguments.surroundings:
        raise SystemExit(any(what != "held" for what in _surroundings(arguments.surroundings).values()))
    draw, begun = random.Random(arguments.seed), time.monotonic()
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes", flush=True)
    chosen = {n: k for n, k in KINDS.items() if n.startswith(tuple(arguments.kinds or [""]))}
    IDLE.keep(pickle.dumps(Foreign), 1)
    with tempfile.TemporaryDirectory(prefix="abuse-") as scratch:
        marker = Path(scratch, "ran")
        kept = [Kept(name, kind, Path(scratch)) for name, kind in chosen.items()]
        while time.monotonic() - begun < 60 * arguments.minutes:
            for each in kept:
                for sentence in each.abuse(draw, marker, arguments.keep):
                    print(sentence, flush=True)
    print(_table(kept))
    around = {} if arguments.no_surroundings or arguments.kinds else _surroundings(list(SURROUNDINGS))
    figures = {
        "minutes": arguments.minutes,
        "kinds": {each.name: {"tried": each.counted.total(), **each.counted} for each in kept},
        "surroundings": around,
    }
    if not arguments.kinds:
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(results | {str(arguments.seed): figures}, indent=1) + "\n")
    bad = sum(each.counted[fate] for each in kept for fate in BAD) + sum(w != "held" for w in around.values())
    raise SystemExit(1 if bad else 0)


def _surroundings(names: list[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="abuse-") as scratch:
            try:
                found[name] = SURROUNDINGS[name](Path(scratch))
            except subprocess.TimeoutExpired as error:
                found[name] = f"took longer than {error.timeout:g} s"
        print(f"{name}: {found[name]}", flush=True)
    return found


def _table(kept: list[Kept]) -> str:
    total: Counter[str] = sum((each.counted for each in kept), Counter())
    rows = [(each.name, each.counted) for each in kept] + [("all", total)]
    lines = ["| kind | tried | " + " | ".join(FATES) + " |", "|---|" + "---|" * (1 + len(FATES))]
    lines += [
        f"| {name} | {counted.total()} | " + " | ".join(str(counted[fate]) for fate in FATES) + " |"
        for name, counted in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
