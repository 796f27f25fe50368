"""The study of bf16: what it trains differs in nothing else, is kept, and is compared utterance by utterance."""

import itertools

import pandas as pd
import pytest

from benchmarks.precision import measure, table
from benchmarks.scarcity import RATE, Corpus
from cmarr.evaluation.predictions import read_predictions
from cmarr.folds.files import read_folds
from cmarr.masks.files import write_masks
from cmarr.task import Task
from tests.training.conftest import CLASSES, TRAIN, make_corpus

METHOD = {
    "method": "masked",
    "settings": {"d": 8, "length": 4, "heads": 2},
    "train": TRAIN | {"epochs": 2},
}


def test_every_precision_is_trained_once_and_compared(tmp_path):
    folder = make_corpus(tmp_path).root / "data/tiny"
    ids = [(fold.number, id) for fold in read_folds(folder / "folds.parquet") for id in fold.test]
    rates = pd.DataFrame([{"fold": f, "id": id, "level": 0.0, "condition": "svt"} for f, id in ids])
    write_masks(folder / "masks", RATE, rates)
    corpus = Corpus(folder, Task(tuple(CLASSES)), "speaker")
    found = measure(corpus, METHOD, ["bf16", "fusion"], 1, tmp_path / "out")
    for way, rows in found.items():
        for own in rows.values():
            assert own[way] - own["fp32"] == pytest.approx(own["difference"])
            assert own["lo"] <= own["difference"] <= own["hi"]
    told = table({"runs": {"tiny": {"metric": "UAR", "seeds": 1, "result": {"masked": found}}}})
    assert "| tiny (1 seed), masked | fusion | avg7 | UAR, % | " in told

    answers = sorted((tmp_path / "out").rglob("fold1-seed0.parquet"))
    several = [read_predictions(path, None) for path in answers]
    assert len(several) == 3
    for one, other in itertools.pairwise(several):
        assert (one["id"] == other["id"]).all()
        assert not one["p_calm"].equals(other["p_calm"])  # bf16 was there
    written = {path: path.stat().st_mtime_ns for path in answers}
    assert measure(corpus, METHOD, ["bf16", "fusion"], 1, tmp_path / "out") == found
    assert written == {path: path.stat().st_mtime_ns for path in answers}
