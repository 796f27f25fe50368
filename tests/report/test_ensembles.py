"""The seeds of a method averaged, in a table of their own."""

from dataclasses import replace

import pandas as pd
import pytest

from cmarr.analyses.ensembles import averaged, ensembles_section, section
from cmarr.evaluation.predictions import columns
from cmarr.evaluation.summary import summarise
from cmarr.task import Task
from tests.report.studies import TASK, predictions, study

TWO = ("cmarr", "masked")


@pytest.fixture
def several():
    """The made-up study with two seeds, of which one method makes nothing."""
    made = study()
    frames = {
        name: [predictions(TASK, i, fold, seed=seed) for fold in (1, 2) for seed in (0, 1)]
        for i, name in enumerate(made.frames)
    }
    declared = {name: {"plain": False, "deterministic": name == "linear"} for name in frames}
    settings = {"methods": [*frames], "declared": declared, "cluster": "speaker", "corpus": {"kind": "demo"}}
    summaries = {name: summarise(own, TASK) for name, own in frames.items()}
    return replace(made, frames=frames, summaries=summaries, settings=settings)


@pytest.mark.parametrize("task", [TASK, Task()])
def test_an_answer_is_the_mean_of_the_seeds_answers(task):
    first, second = predictions(task, 0, 1), predictions(task, 1, 1)
    found = averaged([first, second.assign(seed=1).sample(frac=1, random_state=0)], task)
    pd.testing.assert_frame_equal(found[columns(task)], (first[columns(task)] + second[columns(task)]) / 2)
    assert set(found["seed"]) == {0} and list(found["id"]) == list(first["id"])


def test_levels_of_a_protocol_stay_apart():
    fixed = predictions(TASK, 0, 1)
    other = fixed.assign(protocol="rate", level=0.5)
    assert len(averaged([fixed, other, fixed.assign(seed=1), other.assign(seed=1)], TASK)) == 2 * len(fixed)


def test_each_method_stands_beside_its_ensemble(several):
    made, numbers = ensembles_section(several, {m: averaged(several.frames[m], TASK) for m in TWO})
    (table,) = made.blocks
    assert list(table.frame["method"]) == [
        "cmarr",
        "cmarr, 2 seeds averaged",
        "masked",
        "masked, 2 seeds averaged",
    ]
    assert "**" not in "".join(table.frame.iloc[[0, 2]].astype(str).to_numpy().ravel())
    assert set(numbers["method"]) == {f"{m}, 2 seeds averaged" for m in TWO}


def test_what_is_the_same_with_every_seed_has_no_ensemble(several):
    assert set(section(several).files["ensembles.csv"]["method"].str.split(",").str[0]) == set(TWO)
    once = replace(several, frames=study().frames, summaries=study().summaries)
    assert "several `seeds`" in section(once).missing
