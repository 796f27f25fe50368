"""Trees as tensors give what scikit-learn gives."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from cmarr.methods.gbdt import Trees

ROUNDS, LEAVES = 20, 6
OPTIONS = {"max_iter": ROUNDS, "max_leaf_nodes": LEAVES, "min_samples_leaf": 3, "early_stopping": False}


def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 5))
    score = inputs[:, 0] + 2 * (inputs[:, 1] > 0) * inputs[:, 2]
    inputs[generator.random(inputs.shape) < 0.3] = np.nan
    inputs[0, 0], inputs[1, 0] = np.inf, -np.inf
    return inputs, score


def copied(model, outputs: int) -> Trees:
    trees = Trees(ROUNDS, outputs, 2 * LEAVES - 1)
    trees.start.copy_(torch.from_numpy(model._baseline_prediction.reshape(-1)))
    for i, grown in enumerate(model._predictors):
        for k, predictor in enumerate(grown):
            trees.grow((i, k), predictor.nodes)
    return trees


def test_regression_with_gaps_and_infinities():
    inputs, score = data()
    model = HistGradientBoostingRegressor(**OPTIONS).fit(inputs, score)
    answers = copied(model, 1)(torch.from_numpy(inputs))[:, 0]
    np.testing.assert_allclose(answers.numpy(), model.predict(inputs), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_three_classes(seed):
    inputs, score = data()
    labels = np.digitize(score, [-0.5, 0.8])
    model = HistGradientBoostingClassifier(**OPTIONS, random_state=seed).fit(inputs, labels)
    logits = copied(model, 3)(torch.from_numpy(inputs))
    np.testing.assert_allclose(logits.softmax(1).numpy(), model.predict_proba(inputs), rtol=0, atol=1e-12)


def test_what_was_never_grown_adds_nothing():
    trees = Trees(3, 2, 5)
    trees.start.copy_(torch.tensor([0.5, -0.5]))
    assert trees(torch.zeros(4, 1, dtype=torch.float64)).tolist() == [[0.5, -0.5]] * 4
