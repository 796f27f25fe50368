"""What moves between processors: where stages are run, and what is said of what moved."""

import pytest

from benchmarks import arithmetic
from cmarr.errors import UserError
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.seals import read_json, write_json


def scored(**uar):
    return {"scores": {"UAR": dict.fromkeys(ROWS, 0.5) | uar}, "same bits": not uar}


CONTENT = {
    "result": {
        "as it comes": {
            "features": {"video": "a", "text": "b", "speech": "c"},
            "one": scored(),
            "two": scored(),
        },
        "other": {
            "features": {"video": "z", "text": "b", "speech": "c"},
            "one": scored(avg6=0.49, v=0.53),
            "two": scored(),
        },
        "third": {
            "features": {"video": "a", "text": "b", "speech": "c"},
            "one": scored(avg6=0.52),
            "two": scored(),
        },
    }
}


def test_the_table_tells_how_far_avg6_and_the_farthest_condition_moved():
    lines = arithmetic.table(CONTENT).splitlines()
    assert [line.split(" | ")[1:] for line in lines[2:]] == [
        ["video", "-1.00, 3.00", "same bits |"],
        ["none", "+2.00, 2.00", "same bits |"],
    ]


def test_the_sentence_names_the_largest_of_all():
    told = arithmetic.sentence(CONTENT)
    assert "`one` 2.0 in avg6 and 3.0 in a single condition, `two` 0.0 in avg6 and 0.0" in told


def test_a_folder_has_the_study_with_one_seed_and_the_threads_of_the_variant(tmp_path):
    data = tmp_path / "data/demo"
    for stage in ("train", "evaluate", "pretrain"):
        own = {"seeds": [3, 4], "train": {"threads": 1}} if stage != "pretrain" else {}
        write_json(data / "settings" / stage / "one.json", own)
    for name in arithmetic.LINKED:
        (data / name).mkdir()
    paths = arithmetic.prepared(data, tmp_path / "out", {"threads": "2", "matmul": "medium"}, ["one"])
    assert read_json(paths / "settings/train/one.json", "") == {"seeds": [3], "train": {"threads": 2}}
    assert (paths / "masks").resolve() == data / "masks"
    assert "'medium'" in (tmp_path / "out/sitecustomize.py").read_text(encoding="utf-8")
    assert read_json(data / "settings/train/one.json", "")["seeds"] == [3, 4], "the study keeps its own"
    with pytest.raises(UserError, match=r"two\.json: does not exist"):
        arithmetic.prepared(data, tmp_path / "out", {}, ["two"])
