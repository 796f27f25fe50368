"""`make abuse` tells apart what is refused, accepted, crashes, hangs, runs code and is silently another."""

import json
import random
from functools import partial
from pathlib import Path

import pytest

from benchmarks.abuse import __main__ as abuse
from benchmarks.abuse import kinds
from benchmarks.abuse.kinds import KINDS, Kind
from benchmarks.abuse.mutations import of_pickle, of_tree
from tests.benchmarks.stand_in_doors import tell

FATES = {
    "refused": "refused",
    "accepted": "accepted",
    "crash": "crash",
    "killed": "crash",
    "hang": "hang",
    "silent": "silent",
    "other": "silent",
}


@pytest.mark.parametrize(("what", "fate"), FATES.items(), ids=FATES)
def test_what_became_of_a_file_is_told_apart(tmp_path, monkeypatch, what, fate):
    monkeypatch.setattr(abuse, "AT_ONCE", 2)
    monkeypatch.setattr(abuse, "SECONDS", 0.3)
    monkeypatch.setattr(kinds, "mutated", lambda *_: b"bad")
    kind = Kind(partial(Path.write_text, data="good"), partial(tell, what), "x.txt", sealed=what == "other")
    kept = abuse.Kept("a kind", kind, tmp_path)
    told = kept.abuse(random.Random(0), tmp_path / "marker", tmp_path / "kept")
    assert kept.counted == {fate: 2}
    assert len(told) == (2 if fate in abuse.BAD else 0) and len(list(tmp_path.glob("kept/*"))) == len(told)


def test_code_that_ran_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(abuse, "AT_ONCE", 1)
    kept = abuse.Kept(
        "a kind", Kind(partial(Path.write_text, data="good"), partial(tell, "x"), "x.txt"), tmp_path
    )
    (tmp_path / "marker").touch()
    kept.abuse(random.Random(0), tmp_path / "marker", tmp_path / "kept")
    assert kept.counted == {"code run": 1} and not (tmp_path / "marker").exists()


def test_the_same_seed_makes_the_same_files(tmp_path):
    content = (tmp_path / "x.pkl").write_bytes(b"abc") and b"abc" * 50
    first, again = (
        [of_pickle(content, draw, tmp_path) for _ in range(50)]
        for draw in (random.Random(3), random.Random(3))
    )
    assert first == again and len(set(first)) > 40
    assert any(b"os\nsystem" in made for made in first)


def test_a_tree_gets_what_no_reader_expects(tmp_path):
    found = set()
    for seed in range(60):
        root = tmp_path / str(seed)
        root.mkdir()
        for name in "abc":
            (root / name).write_text("x" * 50)
        of_tree(root, random.Random(seed), tmp_path / "marker")
        found |= {
            (path.is_symlink(), path.is_dir(), path.is_fifo(), path.is_file()) for path in root.iterdir()
        } | {len(list(root.iterdir())) < 3}
    assert len(found) > 5


def test_every_kind_is_accepted_as_it_is(tmp_path):
    """Of the cheap ones; the others are looked at whenever `make abuse` begins."""
    for name in (
        "captions: srt",
        "pickle",
        "manifest: csv",
        "features: npz",
        "written by a study",
        "FER+ zip",
    ):
        kept = abuse.Kept(name, KINDS[name], tmp_path)
        assert kept.fate(kept.whole) == "accepted"


def test_the_kept_figures_are_of_two_seeds_and_what_was_bad_in_them_is_mended():
    figures = json.loads(abuse.RESULTS.read_text())
    bad = {
        seed: {name for name, counted in run["kinds"].items() if any(fate in counted for fate in abuse.BAD)}
        for seed, run in figures.items()
    }
    assert sum(not names for names in bad.values()) >= 2
    for seed, run in figures.items():
        assert bad[seed] == set(run.get("mended", ()))
        assert all(what == "held" for what in run["surroundings"].values())
