"""Killed at any moment, a training goes on to the same bits; a full disk costs a sentence, and nothing else.

`make kills` kills at 50 moments and prints the log: each moment, and what was found. Every run of the tests takes 10.
"""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from cmarr.folds.files import read_folds, write_folds
from tests.training.conftest import TRAIN, make_corpus
from tests.warm import python

ROOT = Path(__file__).parents[2]
METHOD = "cmarr"
SMALL = {
    "d": 8,
    "length": 4,
    "flow_steps": 1,
    "blocks": 1,
    "heads": 2,
    "staged": True,
    "gradient_shares": False,
}
KILLS = int(os.environ.get("KILLS", "10"))
FROM_OUTSIDE = KILLS // 4
TIMED = ("cost.json", "demo.json")


class Mortal:
    """The process that forks the children."""

    def __init__(self, root: Path) -> None:
        command = [python(), "-m", "tests.training.mortal"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.order(root)

    def order(self, root: Path, **order) -> None:
        print(json.dumps({"root": str(root), "method": METHOD} | order), file=self.process.stdin, flush=True)

    def run(self, root: Path, **order) -> dict:
        self.order(root, **order)
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    process = Mortal(new(tmp_path_factory.mktemp("first")))
    yield process
    process.end()


def new(root: Path, **train) -> Path:
    """A project whose method trains in three phases, and once more on training and validation data."""
    root.mkdir(exist_ok=True)
    corpus = make_corpus(root)
    write_folds(root / "data/tiny/folds.parquet", read_folds(root / "data/tiny/folds.parquet")[:1])
    corpus.settings(METHOD, SMALL, train=TRAIN | {"epochs": 2, "batch_size": 6, "refit": True} | train)
    return root


def results(root: Path) -> dict[str, bytes]:
    """Every file that training and evaluation leave, those of half a write included, but for the times they took."""
    tops = ("data/tiny/models", "data/tiny/predictions", "metrics")
    found = [
        p for top in tops for p in sorted((root / top).rglob("*")) if p.is_file() and p.name not in TIMED
    ]
    return {str(p.relative_to(root)): p.read_bytes() for p in found}


@pytest.fixture(scope="module")
def whole(mortal, tmp_path_factory):
    """What an undisturbed run leaves, its number of moments, and its seconds."""
    root = new(tmp_path_factory.mktemp("whole"))
    done = mortal.run(root)
    assert done["status"] == 0
    return results(root), done["moments"], done["seconds"]


def found(root: Path, expected: dict[str, bytes]) -> str:
    """What lies there after a kill, every bit of which must be whole."""
    told = []
    for path in sorted((root / ".cmarr/unfinished").glob("*/*")):
        if path.name.startswith("."):
            continue
        if path.suffix == ".state":
            progress = torch.load(path, weights_only=True)["progress"]
            again = "refit, " if "refit" in path.name else ""
            told.append(f"{again}phase {progress['stage'] + 1}, epoch {progress['epoch']}")
        elif path.suffix == ".json":
            json.loads(path.read_text())
            told.append("epochs chosen" if "chosen" in path.name else "training done")
        else:
            assert path.read_bytes() == expected[f"data/tiny/models/{METHOD}/{path.name}"]
            told.append("model")
    there = {name: data for name, data in results(root).items() if not Path(name).name.startswith(".")}
    assert [name for name, data in there.items() if data != expected[name]] == []
    for path in (root / "metrics").rglob("cost.json"):
        json.loads(path.read_text())
    return (
        ", ".join([*told, *([f"{len(there)} of {len(expected)} results"] if there else [])]) or "nothing yet"
    )


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_killed_at_random_moments_it_ends_in_the_same_bits(mortal, whole, tmp_path):
    expected, moments, seconds = whole
    draw, log, studies = random.Random(0), [], 0
    while len(log) < KILLS:
        root, deaths = new(tmp_path / f"{studies}"), []
        studies += 1
        while True:
            so_far = len(log) + len(deaths)
            outside = so_far >= KILLS - FROM_OUTSIDE
            when = (
                {"seconds": draw.uniform(0.0, seconds)} if outside else {"moment": draw.randint(1, moments)}
            )
            if so_far == KILLS:
                when = {}  # the last study ends in peace
            done = mortal.run(root, **when)
            if done["status"] == 0:
                break
            assert done["status"] == -9, done
            at = f"{when['seconds']:.2f} s" if outside else f"{when['moment']}: before {done['at']}"
            deaths.append((studies, at, found(root, expected)))
        after = results(root)
        assert after.keys() == expected.keys()  # no half file either
        assert [name for name in expected if after[name] != expected[name]] == []
        assert [p.suffix for p in (root / ".cmarr/unfinished").iterdir()] == [".lock"]
        log += deaths
        shutil.rmtree(root)
    print(f"\n{len(log)} kills in {studies} studies of {moments} moments each; all ended in the same bytes")
    print("| study | killed at | found |\n|---|---|---|")
    print("\n".join(f"| {study} | {at} | {what} |" for study, at, what in log))


@pytest.mark.slow
def test_settings_changed_after_a_kill_take_nothing_from_before(mortal, whole, tmp_path):
    expected, moments, _ = whole
    other = new(tmp_path / "other", lr=3e-3)
    assert mortal.run(other)["status"] == 0
    root = new(tmp_path / "changed")
    assert mortal.run(root, moment=moments // 3)["status"] == -9
    assert "epoch" in found(root, expected)
    assert mortal.run(new(root, lr=3e-3))["status"] == 0
    assert results(root) == results(other) != expected
    assert mortal.run(new(root))["status"] == 0  # and back: the state of before is right again
    assert results(root) == expected


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_costs_nothing(mortal, whole, tmp_path):
    expected, moments, _ = whole
    log = []
    for moment in range(3, moments, moments // 6):
        root = new(tmp_path / f"{moment}")
        done = mortal.run(root, full=moment)
        assert done["status"] == 1, done
        refused, words = done["said"].split(" cannot be written (File too large): ")
        assert words.endswith("is full; make room and run again, what was finished before is kept")
        log.append((moment, Path(refused).name, found(root, expected)))
        assert not list(root.rglob(".*.tmp"))
        assert mortal.run(root)["status"] == 0
        assert results(root) == expected
    assert len({name for _, name, _ in log}) > 3
    print("\n| full from moment | not written | found |\n|---|---|---|")
    print("\n".join(f"| {moment} | {name} | {what} |" for moment, name, what in log))
