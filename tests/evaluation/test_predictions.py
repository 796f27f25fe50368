import numpy as np
import pandas as pd
import pytest

from cmarr.errors import UserError
from cmarr.evaluation.predictions import (
    predictions_frame,
    predictions_path,
    read_folder,
    read_predictions,
    task_of,
    usable_counts,
    write_predictions,
)
from cmarr.seals import write_frame
from cmarr.task import Task

TASK = Task(("angry", "calm"))


def answers(**changes) -> pd.DataFrame:
    arguments = {
        "ids": ["a", "b"],
        "speakers": ["anna", None],
        "clusters": ["anna", "b"],
        "labels": ["angry", "calm"],
        "n_usable": {"t": np.array([1, 0])},
        "task": TASK,
        "prior": [0.75, 0.25],
        "fold": 2,
        "seed": 7,
        "logits": {"t": np.array([[0.0, np.log(3)], [np.nan, np.inf]])},
    }
    return predictions_frame(**(arguments | changes))


def test_answers_become_probabilities_and_nothing_usable_becomes_the_training_prior():
    frame = answers()
    np.testing.assert_allclose(frame[["p_angry", "p_calm"]], [[0.25, 0.75], [0.75, 0.25]])
    # Entropy of (1/4, 3/4) in units of that of a fair coin; the prior's is the same.
    expected = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    np.testing.assert_allclose(frame["uncertainty"], [expected, expected])


def test_a_prior_in_single_precision_sums_to_one_all_the_same():
    frame = answers(prior=[1 / 3 + 1e-7, 2 / 3])
    assert frame.loc[1, ["p_angry", "p_calm"]].sum() == pytest.approx(1, abs=1e-15)


def test_a_methods_own_uncertainty_is_kept_where_the_answer_is_its_own():
    frame = answers(uncertainty={"t": np.array([0.125, 0.5])})
    assert frame["uncertainty"][0] == 0.125
    assert frame["uncertainty"][1] != 0.5


def test_scores_have_no_entropy():
    frame = answers(task=Task(), labels=[-1.5, 2.0], prior=0.25, logits={"t": np.array([[-1.0], [9.0]])})
    assert frame["y_hat"].tolist() == [-1.0, 0.25]
    assert frame["uncertainty"].isna().all()
    assert task_of(frame).regression


def test_a_diverged_method_is_named_with_its_utterance():
    with pytest.raises(UserError, match=r"utterance a, condition t, fold 2, seed 7.*NaN"):
        answers(logits={"t": np.array([[np.nan, 0], [0, 0]])})


def test_usable_modalities_are_available_and_in_the_condition():
    available = np.array([[True, False, True], [False, False, True]])  # s, v, t
    counts = usable_counts(available)
    assert {c: n.tolist() for c, n in counts.items()} == {
        "t": [1, 1],
        "s": [1, 0],
        "v": [0, 0],
        "vt": [1, 1],
        "sv": [1, 0],
        "st": [2, 1],
        "svt": [2, 1],
    }


@pytest.mark.parametrize("task", [TASK, Task()])
def test_what_is_written_is_read_back_and_equal_rows_give_equal_bytes(tmp_path, simulate, task):
    frame = simulate(task=task, folds=1, seeds=(1,))[0]
    for name in ("one", "two"):
        write_predictions(tmp_path / name, frame, task)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "one"), frame, check_dtype=False)
    assert task_of(read_predictions(tmp_path / "one")) == task


def test_a_folder_is_read_by_fold_and_seed_in_numeric_order(tmp_path):
    for fold in (10, 2):
        write_predictions(predictions_path(tmp_path, fold, 0), answers(fold=fold), TASK)
    assert [frame["fold"].iloc[0] for frame in read_folder(tmp_path)] == [2, 10]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"p_angry": 0.9}, "sum 1"),
        ({"p_angry": np.nan}, "NaN"),
        ({"condition": "ts"}, "unknown condition"),
        ({"n_usable": 2}, "n_usable"),
        ({"label": "bored"}, "no class"),
        ({"cluster": None}, "no cluster"),
        ({"uncertainty": 1.5}, "uncertainty"),
        ({"id": "a"}, "twice"),
        ({"fold": [2, 3]}, "another fold"),
    ],
)
def test_what_is_no_answer_is_refused_with_file_and_utterance(tmp_path, change, fault):
    path = tmp_path / "fold2-seed7.parquet"
    with pytest.raises(UserError, match=rf"fold2-seed7.*utterance [ab], condition.*{fault}"):
        write_predictions(path, answers().assign(**change), TASK)
    assert not path.exists()


def test_a_file_that_is_not_predictions_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="holds no predictions"):
        read_folder(tmp_path)
    broken = tmp_path / "fold0-seed0.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r"fold0-seed0\.parquet is damaged: .*evaluate the method again"):
        read_predictions(broken)
    write_frame(broken, pd.DataFrame({"id": ["a"]}))
    with pytest.raises(UserError, match=r"fold0-seed0\.parquet: has neither"):
        read_predictions(broken)
