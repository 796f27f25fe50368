"""`recovered`: ridge recovery, then one linear model for all conditions."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from cmarr.data.batch import Batch, visibility
from cmarr.methods.asking import predictions
from cmarr.methods.pooled import PooledFeatures, by_condition, fit_linear_model
from cmarr.methods.recovered import Recovered
from cmarr.modalities import CONDITIONS
from cmarr.task import Task


@pytest.fixture
def fitted(small):
    def make(batch, task: Task = small.classes, **settings) -> Recovered:
        method = Recovered(
            small.dims, task, Recovered.Settings(percentiles="none", changes="none", **settings)
        )
        method.fit(batch, torch.Generator())
        return method

    return make


def test_what_is_recovered_is_ridge_regression(small, fitted):
    batch = small.batch(40, absent=0.0)
    method = fitted(batch, kappa=0.5)
    features = method.features
    sources = np.concatenate([features.standard(batch, m).numpy() for m in "st"], 1)
    alpha = 0.5 * 2 * (small.dims["s"] + small.dims["t"])
    ridge = Ridge(alpha=alpha, fit_intercept=False).fit(sources, features.standard(batch, "v").numpy())
    found = predictions(method, batch, {"st": visibility("st", 40)})["st"].recovered["v"][:, 0]
    assert found.numpy() == pytest.approx(ridge.predict(sources), abs=1e-5)


def test_it_is_one_logistic_regression_on_the_filled_rows_of_all_conditions(small, fitted):
    batch = small.batch(40, absent=0.0)
    method = fitted(batch)
    parts = []
    for condition in CONDITIONS:
        recovered = predictions(method, batch, {"x": visibility(condition, 40)})["x"].recovered
        parts.append(
            np.concatenate(
                [
                    (
                        method.features.standard(batch, m) if m in condition else recovered[m][:, 0].double()
                    ).numpy()
                    for m in method.features.modalities
                ],
                1,
            )
        )
    rows, labels = np.concatenate(parts), np.tile(batch.labels.numpy(), len(CONDITIONS))
    width = 2 * sum(small.dims.values())
    reference = LogisticRegression(C=15 / 3.5 / width, max_iter=2000, tol=1e-8).fit(rows, labels)
    logits = predictions(method, batch, {"svt": visibility("svt", 40)})["svt"].logits
    assert logits.softmax(1).numpy() == pytest.approx(reference.predict_proba(parts[-1]), abs=2e-3)


def test_zeros_recover_nothing(small, fitted):
    batch = small.batch(40)
    method = fitted(batch, fill="zeros")
    found = predictions(method, batch, {"s": visibility("s", 40)})["s"]
    assert not found.recovered
    twin = predictions(fitted(batch), batch, {"s": visibility("s", 40)})["s"]
    assert not torch.equal(found.logits, twin.logits)


def test_where_nothing_is_missing_the_filling_does_not_enter_the_prediction(small, fitted):
    batch = small.batch(40, absent=0.0)
    found = predictions(fitted(batch), batch, {"svt": visibility("svt", 40)})["svt"]
    assert not any(rows.any() for rows in found.recovered_rows.values())


def test_a_pair_never_seen_together_is_filled_with_the_mean(small):
    """Rows have speech or text, never both: nothing can be learnt about one from the other."""
    batch = small.batch(40, absent=0.0)
    no_text, no_speech = small.without(batch, "t"), small.without(batch, "s")
    half = torch.arange(20)
    first, second = small.take(no_text, half), small.take(no_speech, half + 20)
    both = Batch(
        {m: torch.cat([first.values[m], second.values[m]]) for m in "svt"},
        {m: torch.cat([first.lengths[m], second.lengths[m]]) for m in "svt"},
        torch.cat([first.available, second.available]),
        torch.cat([first.labels, second.labels]),
    )
    method = Recovered(small.dims, small.classes, Recovered.Settings())
    method.fit(both, torch.Generator())
    found = predictions(method, batch, {"s": visibility("s", 40)})["s"]
    assert torch.equal(found.recovered["t"], torch.zeros_like(found.recovered["t"]))
    assert found.recovered["v"].any()


def test_the_condition_of_a_row():
    usable = torch.tensor(
        [[False, False, True], [True, True, True], [False, False, False], [False, True, True]]
    )
    found = {condition: rows.nonzero().flatten().tolist() for _, condition, rows in by_condition(usable)}
    assert found == {"t": [0], "vt": [3], "svt": [1]}


def test_a_class_without_a_row_is_never_predicted():
    rows, labels = np.random.default_rng(0).normal(size=(20, 3)), np.repeat([0, 2], 10)
    weight, bias = fit_linear_model(rows, labels, Task(("a", "b", "c")), 1.0)
    logits = torch.from_numpy(rows) @ weight.T + bias
    assert not (logits.argmax(1) == 1).any()
    reference = LogisticRegression(C=1.0, tol=1e-8).fit(rows, labels).predict_proba(rows)
    assert logits[:, [0, 2]].softmax(1).numpy() == pytest.approx(reference, abs=1e-5)


def test_sizes_come_from_the_file_when_a_model_is_loaded(small):
    features = PooledFeatures(small.dims)
    features.fit(small.batch(8, absent=0.0))
    other = PooledFeatures(small.dims)
    other.load_state_dict(features.state_dict())
    batch = small.batch()
    assert torch.equal(features(batch), other(batch))
