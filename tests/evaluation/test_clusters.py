"""Silhouettes on vectors small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest

from cmarr.analyses.clusters import silhouette_difference, silhouette_table, silhouettes


def test_by_hand():
    """Cosine distances: x to x 0, x to y 1, y to the diagonal 1 - 1/sqrt 2, which x has to it, too."""
    vectors = np.array([[1.0, 0], [3.0, 0], [0, 1.0], [2.0, 2.0]])
    near = 1 - 2**-0.5
    # first, second: own 0, other (1 + near) / 2 -> 1; third: own near, other 1; fourth: own near, other near
    expected = [1, 1, (1 - near) / 1, 0]
    assert silhouettes(vectors, ["a", "a", "b", "b"]) == pytest.approx(expected)


def test_where_they_are_not_defined_there_are_none():
    vectors = np.eye(3)
    assert len(silhouettes(vectors, ["a", "a", "a"])) == 0
    assert len(silhouettes(vectors, ["a", "b", "c"])) == 0


def test_a_vector_of_zeros_is_not_nan():
    assert np.isfinite(silhouettes(np.array([[0.0, 0], [1, 0], [0, 1]]), ["a", "a", "b"])).all()


def frame(condition: str, values: list[float], fold: int = 1, seed: int = 0) -> pd.DataFrame:
    ids = [f"f{fold}u{i}" for i in range(len(values))]
    clusters = [f"speaker{i % 5}" for i in range(len(values))]
    return pd.DataFrame({"id": ids, "cluster": clusters, "silhouette": values}).assign(
        condition=condition, fold=fold, seed=seed
    )


def test_the_table_averages_utterances_folds_seeds_and_conditions():
    rows = pd.concat([frame("t", [0.2, 0.4]), frame("t", [0.9], fold=2), frame("svt", [0.8, 0.8])])
    table = silhouette_table(rows).set_index("condition")
    assert table["silhouette"].to_dict() == pytest.approx({"t": 0.6, "svt": 0.8, "mean": 0.7})
    assert table["n"].to_dict() == {"t": 3, "svt": 2, "mean": 3}


def test_two_methods_are_compared_utterance_by_utterance():
    draws = np.random.default_rng(0)
    base = draws.uniform(size=40)
    better = frame("t", list(base + 0.1 + 0.01 * draws.normal(size=40)))
    found = silhouette_difference(better, frame("t", list(base)))
    assert found["difference"] == pytest.approx(0.1, abs=0.01)
    assert 0.08 < found["lo"] < found["hi"] < 0.12
    assert silhouette_difference(better, frame("s", list(base))) is None
