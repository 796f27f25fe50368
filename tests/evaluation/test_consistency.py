"""Does a model say the same when it sees less? Worked by hand."""

import numpy as np
import pytest

from cmarr.analyses.crossing import consistency, consistency_table
from cmarr.modalities import CONDITIONS
from cmarr.task import Task

TASK = Task(("no", "yes"))
NO, YES = [1.0, 0.0], [0.0, 1.0]


def measured(logits, vectors=None, task=TASK, available=((True, True, True), (True, True, True))):
    return consistency(
        ids=["a", "b"],
        clusters=["one", "two"],
        available=np.array(available),
        logits=dict.fromkeys(CONDITIONS, np.array([NO, YES])) | logits,
        vectors=vectors,
        task=task,
    )


def cell(frame, condition, measure):
    table = consistency_table(frame)
    row = table[(table["condition"] == condition) & (table["measure"] == measure)]
    return row["mean"].item() if len(row) else None


def test_answers_agree_where_they_name_the_same_class():
    frame = measured({"t": np.array([NO, NO])})
    assert cell(frame, "t", "agrees") == 0.5  # a agrees, b does not
    assert cell(frame, "s", "agrees") == 1.0


def test_scores_agree_where_their_signs_do():
    scores = dict.fromkeys(CONDITIONS, np.array([[0.0], [-1.0]])) | {"v": np.array([[2.0], [0.1]])}
    assert cell(measured(scores, task=Task()), "v", "agrees") == 0.5


def test_the_cosine_by_hand():
    vectors = dict.fromkeys(CONDITIONS, np.array([[1.0, 0.0], [3.0, 4.0]]))
    vectors["st"] = np.array([[1.0, 1.0], [4.0, 3.0]])  # 1 / sqrt 2, and 24 / 25
    assert cell(measured({}, vectors), "st", "cosine") == pytest.approx((2**-0.5 + 24 / 25) / 2)
    assert cell(measured({}), "st", "cosine") is None


def test_a_vector_of_zeros_resembles_nothing():
    vectors = dict.fromkeys(CONDITIONS, np.ones((2, 3))) | {"s": np.zeros((2, 3))}
    assert cell(measured({}, vectors), "s", "cosine") == 0.0


def test_only_utterances_that_lose_something_count():
    # a has no video (order s, v, t): without video it loses nothing, and vt it cannot meet
    frame = measured({"st": np.array([YES, YES])}, available=((True, False, True), (True, True, True)))
    assert list(frame[frame["condition"] == "st"]["id"]) == ["b"]
    assert list(frame[frame["condition"] == "vt"]["id"]) == ["b"]
    assert list(frame[frame["condition"] == "t"]["id"]) == ["a", "b"]


def test_the_interval_holds_the_mean():
    table = consistency_table(measured({"t": np.array([NO, NO])}))
    assert ((table["lo"] <= table["mean"]) & (table["mean"] <= table["hi"])).all()
    assert set(table["n"]) == {2}
