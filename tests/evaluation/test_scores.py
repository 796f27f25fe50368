import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from cmarr.evaluation.scores import classification_scores, regression_scores, scores
from cmarr.task import Task

# Six angry, three calm, one sad. Truth by answer:  angry 4 2 0 | calm 1 2 0 | sad 1 0 0
TRUTH = np.array(["angry"] * 6 + ["calm"] * 3 + ["sad"])
ANSWER = np.array(["angry"] * 4 + ["calm"] * 2 + ["angry", "calm", "calm"] + ["angry"])


def test_classification_by_hand():
    found = classification_scores(TRUTH, ANSWER)
    f1 = {"angry": 8 / 12, "calm": 4 / 7, "sad": 0.0}  # 2 TP / (truths + answers)
    assert found["WAR"] == pytest.approx(6 / 10)
    assert found["UAR"] == pytest.approx((4 / 6 + 2 / 3 + 0 / 1) / 3)
    assert found["WF1"] == pytest.approx((6 * f1["angry"] + 3 * f1["calm"] + 1 * f1["sad"]) / 10)
    assert found["MF1"] == pytest.approx(sum(f1.values()) / 3)


def test_each_class_against_the_others_by_hand():
    """Angry: 4 right, 2 missed, 2 wrongly. Calm: 2, 1, 2. Sad: 0, 1, 0. 'Not sad': 9, 0, 1."""
    angry = (6 * 8 / 12 + 4 * 4 / 8) / 10
    calm = (3 * 4 / 7 + 7 * 10 / 13) / 10
    sad = (1 * 0 + 9 * 18 / 19) / 10
    assert classification_scores(TRUTH, ANSWER)["BWF1"] == pytest.approx((angry + calm + sad) / 3)
    pairs = [f1_score(c == TRUTH, c == ANSWER, average="weighted") for c in ("angry", "calm", "sad")]
    assert classification_scores(TRUTH, ANSWER)["BWF1"] == pytest.approx(np.mean(pairs))


def test_the_first_argument_is_the_truth():
    """Swapped, recall becomes precision: angry 4/6, calm 2/4, and nobody was called sad."""
    assert classification_scores(ANSWER, TRUTH)["UAR"] == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert classification_scores(ANSWER, TRUTH)["UAR"] != pytest.approx(
        classification_scores(TRUTH, ANSWER)["UAR"]
    )


def test_a_class_that_does_not_occur_in_the_truth_has_no_recall():
    found = classification_scores(np.array(["angry", "angry"]), np.array(["angry", "sad"]))
    assert found == pytest.approx({"WAR": 0.5, "UAR": 0.5, "WF1": 2 / 3, "MF1": 2 / 3, "BWF1": 2 / 3})


def test_regression_by_hand():
    truth = np.array([-2.0, 0.0, 1.0, 2.6])
    answer = np.array([-1.0, -0.5, 0.4, 3.8])
    found = regression_scores(truth, answer)
    assert found["MAE"] == pytest.approx((1.0 + 0.5 + 0.6 + 1.2) / 4)
    assert found["Corr"] == pytest.approx(np.corrcoef(truth, answer)[0, 1])
    assert found["Acc2"] == 1.0  # -2, 1 and 2.6 keep their sign; the zero is dropped
    assert found["Acc2_zero"] == 0.75  # the zero counts as non-negative and was answered negative
    assert found["WF1"] == 1.0
    assert found["WF1_zero"] == pytest.approx((1 * 2 / 3 + 3 * 4 / 5) / 4)
    # Clipped and rounded: -2 0 1 3 against -1 0 0 3 (-0.5 rounds to the even 0); within two: -2 0 1 2, -1 0 0 2.
    assert found["Acc7"] == 0.5
    assert found["Acc5"] == 0.5


def test_an_answer_of_exactly_zero_is_not_positive_and_not_negative():
    """Acc2 asks for positive, and zero is none: of 1, 2, -1 one is right. Acc2_zero asks for negative: 1, 2, 0 are."""
    assert regression_scores(np.array([1.0, 2.0, -1.0]), np.zeros(3))["Acc2"] == pytest.approx(1 / 3)
    assert regression_scores(np.array([1.0, 2.0, -1.0, 0.0]), np.zeros(4))["Acc2_zero"] == 0.75
    assert regression_scores(np.array([1.0, 0.0, 0.0]), np.array([1.0, -1.0, -0.5]))["Acc2"] == 1.0


def test_a_constant_answer_has_correlation_zero_and_a_constant_truth_none():
    assert regression_scores(np.array([1.0, 2.0]), np.array([0.5, 0.5]))["Corr"] == 0.0
    assert regression_scores(np.array([1.0, 1.0]), np.array([0.5, 0.7]))["Corr"] is None


def test_with_true_zeros_only_there_is_no_polarity():
    found = regression_scores(np.zeros(2), np.array([0.1, -0.1]))
    assert found["Acc2"] is None
    assert found["WF1"] is None
    assert found["Acc2_zero"] == 0.5


def rows(condition: str, n_usable: list[int]) -> pd.DataFrame:
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    values = np.array([right, wrong, wrong])
    return pd.DataFrame(
        {"condition": condition, "n_usable": n_usable, "label": "a", "p_a": values[:, 0], "p_b": values[:, 1]}
    )


def test_utterances_without_anything_usable_do_not_count_unless_asked_for():
    frame = rows("t", [1, 1, 0])
    assert scores(frame, Task(("a", "b")))["WAR"] == 1 / 2
    assert scores(frame, Task(("a", "b")), everyone=True)["WAR"] == pytest.approx(1 / 3)


def test_a_condition_counts_who_has_a_part_of_it_if_somebody_has_the_whole():
    assert scores(rows("vt", [2, 1, 0]), Task(("a", "b")))["WAR"] == 1 / 2
    assert set(scores(rows("vt", [1, 1, 0]), Task(("a", "b"))).values()) == {None}


def test_scores_of_several_conditions_at_once_are_refused():
    with pytest.raises(ValueError, match="single condition"):
        scores(pd.concat([rows("t", [1, 1, 1]), rows("s", [1, 1, 1])]), Task(("a", "b")))
