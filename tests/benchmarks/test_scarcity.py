"""The study of scarce data and missing modalities: what it trains on, and that its differences are paired."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.scarcity import RATE, Corpus, answered, batch_size, differences, figure, part
from cmarr.folds.files import Fold, read_folds
from cmarr.masks.files import write_masks
from cmarr.task import Task
from tests.training.conftest import CLASSES, TRAIN, make_corpus

FOLD = Fold(1, [f"u{i}" for i in range(144)], ["v"], ["t"])
LINEAR = {"method": "linear", "settings": {"C": 0.1}, "train": TRAIN}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    folder = make_corpus(tmp_path_factory.mktemp("scarcity")).root / "data/tiny"
    rates = [
        {"fold": fold.number, "id": id, "level": level, "condition": condition}
        for fold in read_folds(folder / "folds.parquet")
        for id in fold.test
        for level, condition in ((0.0, "svt"), (0.5, "st"))
    ]
    write_masks(folder / "masks", RATE, pd.DataFrame(rates))
    return Corpus(folder, Task(tuple(CLASSES)), "speaker")


def test_smaller_parts_lie_within_larger_ones():
    parts = [set(part(FOLD, share).train) for share in (0.125, 0.25, 0.5, 1.0)]
    assert [len(p) for p in parts] == [18, 36, 72, 144]
    assert all(small < large for small, large in pairwise(parts))
    assert (part(FOLD, 0.25).validation, part(FOLD, 0.25).test) == (["v"], ["t"])


@pytest.mark.parametrize("share", [0.125, 0.25, 0.5, 1.0])
def test_an_epoch_has_as_many_steps_as_with_everything(share):
    utterances = round(share * 144)
    assert -(-utterances // batch_size(144, share, 64)) == 3


def test_a_run_goes_on_where_it_stopped(corpus, tmp_path):
    first = answered(corpus, LINEAR, 0.5, 0, tmp_path)
    assert [sorted(set(f["protocol"])) for f in first] == [["fixed", "rate"]] * 2
    kept = {p: p.stat().st_mtime_ns for p in Path(tmp_path).rglob("fold*-seed0.parquet")}
    assert len(kept) == 2
    again = answered(corpus, LINEAR, 0.5, 0, tmp_path)
    for one, two in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one, two)
    assert kept == {p: p.stat().st_mtime_ns for p in kept}


def test_differences_are_the_first_minus_the_second_and_are_drawn_by_rate_and_size(corpus, tmp_path):
    strong = answered(corpus, LINEAR, 1.0, 0, tmp_path)
    mute = [f.assign(p_calm=1.0, p_tense=0.0) for f in strong]  # always the same class: UAR 0.5
    found = {(c["axis"], c["at"]): c for c in differences(strong, mute, corpus.task)}
    assert set(found) == {("fixed", "avg6"), ("fixed", "svt"), (RATE, 0.0), (RATE, 0.5)}
    assert found["fixed", "svt"]["difference"] == pytest.approx(found[RATE, 0.0]["difference"])
    assert found["fixed", "avg6"]["difference"] > 0.2
    rows = [{"share": share, "method": "linear"} | c for share in (0.5, 1.0) for c in found.values()]
    drawn = figure(pd.DataFrame(rows), ["linear"], {0.5: 6, 1.0: 12}, "UAR")
    left, right = (axes.lines[-1].get_ydata() for axes in drawn.axes)
    assert np.allclose(left, [100 * found["fixed", "avg6"]["difference"]] * 2)
    assert np.allclose(right, [100 * found[RATE, level]["difference"] for level in (0.0, 0.5)])
    assert len(figure(pd.DataFrame(rows[4:]), ["linear"], {1.0: 12}, "UAR").axes) == 1
