"""The benchmark of the engine: what it trains on, how revisions take turns, and whose tables the docs hold."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from benchmarks import training
from benchmarks.engine import against
from benchmarks.engine.loop import epochs
from benchmarks.engine.stores import random_store
from benchmarks.records import keep, kept, markdown
from benchmarks.sizes import build

ROOT = Path(__file__).parents[2]
SHAPES = {"s": (4, 3), "v": (3, 2), "t": (2, 5)}
TINY = {"d": 8, "length": 4, "heads": 2}


def test_random_utterances_are_the_same_for_a_seed_and_about_as_long_as_asked():
    store, same, other = (random_store(300, SHAPES, seed) for seed in (0, 0, 1))
    assert store.dims == {"s": 3, "v": 2, "t": 5}
    assert all(torch.equal(store.values[m], same.values[m]) for m in SHAPES)
    assert not torch.equal(store.labels, other.labels)
    assert 3.5 < store.lengths["s"].float().mean() < 4.5
    assert len(store.values["s"]) == store.lengths["s"].sum()
    assert torch.equal(store.starts["s"].diff(), store.lengths["s"][:-1])


def test_every_epoch_of_the_real_loop_is_timed():
    method = build("masked", TINY, dims={m: width for m, (_, width) in SHAPES.items()})
    costs = epochs(method, random_store(20, SHAPES), random_store(4, SHAPES, 1), 8, 3)
    assert len(costs) == 3
    assert all(cost.seconds > 0 for cost in costs)


def test_a_stepper_makes_the_steps_it_is_asked_for():
    order = {"runs": {"one": ("masked", TINY, 4), "two": against.RUNS["mcur"]}, "steps": 2, "threads": 1}
    with against._Stepper(ROOT, json.dumps(order)) as stepper:
        assert all(stepper.step("here") > 0 for _ in range(4))
        with pytest.raises(SystemExit, match=r"^here cannot be driven by .*: its process died"):
            stepper.step("here")


def test_a_revision_that_cannot_be_driven_is_told_by_a_sentence(tmp_path):
    (tmp_path / "cmarr").mkdir()
    (tmp_path / "cmarr/__init__.py").touch()
    order = {"runs": {"one": ("masked", TINY, 4)}, "steps": 1, "threads": 1}
    with (
        against._Stepper(tmp_path, json.dumps(order)) as stepper,
        pytest.raises(
            SystemExit,
            match=r"^old cannot be driven by .*Error: (it has no module|No module named) '?cmarr.methods",
        ),
    ):
        stepper.step("old")
    with pytest.raises(SystemExit, match=r"^nowhere: git has no such revision with a package cmarr"):
        against.measure(1, "nowhere")


def test_a_result_is_kept_with_its_table(tmp_path):
    keep("x", {"result": 1.5}, tmp_path)
    assert kept("x", tmp_path) == {"result": 1.5}
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize("part", ["against", "eager", "phases", "size", "startup", "study"])
def test_the_docs_hold_the_tables_of_the_results(part):
    made = importlib.import_module(f"benchmarks.engine.{part}").table(kept(part)["result"])
    assert made in (ROOT / "docs/speed.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("made", [training.table, training.shares_table])
def test_the_docs_hold_what_every_method_costs(made):
    assert made(kept("training")) in (ROOT / "docs/speed.md").read_text(encoding="utf-8")
