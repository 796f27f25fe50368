"""`gaussian`: one joint Gaussian, marginalised and conditioned exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cmarr.data.batch import Batch, hide, visibility
from cmarr.data.normalise import Normaliser
from cmarr.errors import UserError
from cmarr.methods.asking import predictions
from cmarr.methods.gaussian import Gaussian
from cmarr.methods.left_out import parts_of
from cmarr.methods.model import Model, load_model, save_model
from cmarr.methods.pooled import PooledFeatures
from cmarr.methods.protocol import ClosedForm
from cmarr.modalities import CONDITIONS
from cmarr.task import Task
from tests.resealed import retensored


@pytest.fixture
def fitted(small):
    def make(batch: Batch, task: Task = small.classes, **settings) -> Gaussian:
        settings = {"percentiles": "none", "changes": "none", "learn_from": "training"} | settings
        method = Gaussian(small.dims, task, Gaussian.Settings(**settings))
        method.fit(batch, torch.Generator())
        return method

    return make


def one_frame(z: torch.Tensor, labels: torch.Tensor, dims: dict[str, int]) -> Batch:
    """Utterances of a single frame: their means are their frames, their deviations zero."""
    parts = z.split(list(dims.values()), 1)
    return Batch(
        dict(zip(dims, parts, strict=True)),
        {m: torch.ones(len(z), dtype=torch.long) for m in dims},
        torch.ones(len(z), 3, dtype=torch.bool),
        labels,
    )


def test_it_is_fitted_in_closed_form(small):
    assert isinstance(Gaussian(small.dims, small.classes, Gaussian.Settings()), ClosedForm)


@pytest.mark.parametrize("absent", [0.0, 0.3, 0.6])
def test_the_covariance_stays_positive_with_holes_in_training(small, fitted, absent):
    method = fitted(small.batch(40, absent=absent), shrink=1e-3)
    least = torch.linalg.eigvalsh(method.covariance)[0]
    assert least > 0.9e-3 * method.covariance.diagonal().mean()


def test_covariance_and_means_by_hand():
    """Two classes on one axis a modality: s at -1 -3 | 1 3, v absent from the last row."""
    s = torch.tensor([[-1.0], [-3.0], [1.0], [3.0]])
    v = torch.tensor([[2.0], [0.0], [2.0]])
    batch = Batch(
        {"s": s, "v": v},
        {"s": torch.ones(4, dtype=torch.long), "v": torch.tensor([1, 1, 1, 0])},
        torch.tensor([[True, True, False]] * 3 + [[True, False, False]]),
        torch.tensor([0, 0, 1, 1]),
    )
    method = Gaussian({"s": 1, "v": 1}, Task(("a", "b")), Gaussian.Settings(shrink=1e-9))
    method.fit(batch, torch.Generator())
    # standardised: s / sqrt(5); v less 4/3, over sqrt(8/9). Its second pooled feature, the deviation, is zero.
    columns = [int(method.features.of(m)[0]) for m in "sv"]
    signs = [float(torch.sign(method.features.basis(m)[0, 0])) for m in "sv"]
    means = method.means[:, columns] * torch.tensor(signs)
    root = (8 / 9) ** 0.5
    assert means[:, 0].numpy() == pytest.approx([-2 / 5**0.5, 2 / 5**0.5])
    assert means[:, 1].numpy() == pytest.approx([(1 - 4 / 3) / root, (2 - 4 / 3) / root])
    found = method.covariance[columns][:, columns] * torch.outer(torch.tensor(signs), torch.tensor(signs))
    # residuals of s: +1, -1, -1, +1 over sqrt(5), of v: +1, -1, 0 over root; n - K = 2 and 1
    across = (1 + 1) / 5**0.5 / root / 2**0.5
    assert found.numpy() == pytest.approx(np.array([[4 / 5 / 2, across], [across, 2 / (8 / 9) / 1]]))


@pytest.mark.parametrize("condition", ["t", "sv", "svt"])
def test_it_is_scikit_learn_s_discriminant_analysis(small, fitted, condition):
    batch = small.batch(80, absent=0.0)
    method = fitted(batch)
    z = method.features(batch)[:, method.features.of(condition)].numpy()
    n, k = len(z), 3
    # scikit-learn divides by n where this divides by n - K, shrinks each class towards its own mean variance, and
    # shrinks what was standardised; shrunk by hand, both are the same rule.
    reference = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=_Given(method, condition))
    reference.fit(z, batch.labels.numpy())
    logits = predictions(method, batch, {condition: visibility(condition, n)})[condition].logits
    assert logits.shape == (n, k)
    assert logits.softmax(1).numpy() == pytest.approx(reference.predict_proba(z), abs=1e-6)


class _Given:
    """Hands scikit-learn the covariance of a condition."""

    def __init__(self, method: Gaussian, condition: str):
        own = method.features.of(condition)
        self.covariance_ = method.covariance[own][:, own].numpy()

    def fit(self, rows: np.ndarray) -> "_Given":
        return self


def test_a_condition_is_the_marginal_of_the_whole(small, fitted):
    batch = small.batch(60, absent=0.0)
    method = fitted(batch)
    own = method.features.of("st")
    centre = method.means[:, own]
    precision = torch.linalg.inv(method.covariance[own][:, own])
    z = method.features(batch)[:, own]
    wanted = z @ precision @ centre.T - 0.5 * ((centre @ precision) * centre).sum(1) + method.prior
    found = predictions(method, batch, {"st": visibility("st", 60)})["st"].logits
    torch.testing.assert_close(found.double(), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("condition", "missing"), [("t", "s"), ("st", "v"), ("v", "t")])
def test_what_is_recovered_is_the_conditional_expectation(small, fitted, condition, missing):
    batch = small.batch(60, absent=0.0)
    method = fitted(batch)
    a, m = method.features.of(condition), method.features.of(missing)
    z, joint = method.features(batch), method.covariance
    found = predictions(method, batch, {"x": visibility(condition, 60)})["x"]
    share = found.logits.double().softmax(1)
    wanted = torch.zeros(60, len(m), dtype=torch.float64)
    for k, centre in enumerate(method.means):
        moved = (z[:, a] - centre[a]) @ torch.linalg.inv(joint[a][:, a]) @ joint[a][:, m]
        wanted += share[:, [k]] * (centre[m] + moved)
    back = wanted @ method.features.basis(missing).T
    torch.testing.assert_close(found.recovered[missing][:, 0].double(), back, atol=1e-4, rtol=1e-4)
    assert found.recovered_rows[missing].all()
    assert found.recovered[missing].shape == method.truths(batch)[missing].shape


def test_what_is_left_unexplained_by_hand(fitted, small):
    method = fitted(small.batch(60, absent=0.0))
    a, m = method.features.of("vt"), method.features.of("s")
    joint = method.covariance
    left = joint[m][:, m] - joint[m][:, a] @ torch.linalg.inv(joint[a][:, a]) @ joint[a][:, m]
    found = method.diagnostics(small.batch())["unexplained/vt-s"]
    assert float(found) == pytest.approx(float(left.trace() / joint[m][:, m].trace()))
    assert 0 < found < 1


@pytest.mark.parametrize("rows", [6, 200], ids=["fewer rows than features", "more"])
def test_rotated_features_lose_nothing(small, rows):
    batch = small.batch(rows, absent=0.0)
    features = PooledFeatures(small.dims)
    features.fit(batch)
    z = features(batch)
    for m in features.modalities:
        standard, own = features.standard(batch, m), features.of(m)
        assert len(own) == min(rows, 2 * small.dims[m])
        torch.testing.assert_close(z[:, own] @ z[:, own].T, standard @ standard.T)
        torch.testing.assert_close(z[:, own] @ features.basis(m).T, standard)


def test_the_temperature_changes_no_class_and_makes_validation_likelier(small, fitted):
    method, validation = fitted(small.batch(80)), small.batch(60, seed=9)
    seen = {c: visibility(c, 60) for c in CONDITIONS}
    before = predictions(method, validation, seen)
    chosen = method.calibrate(validation)
    after = predictions(method, validation, seen)
    loss = torch.nn.functional.cross_entropy
    usable = {c: (validation.available & seen[c]).any(1) for c in CONDITIONS}
    for c in CONDITIONS:
        assert torch.equal(before[c].logits.argmax(1)[usable[c]], after[c].logits.argmax(1)[usable[c]])

    def of(found):
        rows = [(found[c].logits[usable[c]], validation.labels[usable[c]]) for c in CONDITIONS]
        return loss(torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows]))

    assert of(after) < of(before)
    again = fitted(small.batch(80))
    again.calibrated(chosen)
    assert torch.equal(predictions(again, validation, seen)["svt"].logits, after["svt"].logits)


def test_without_a_validation_group_speakers_left_out_in_turn_choose(small, fitted):
    batch = small.batch(80)
    heard = batch.values["s"] + batch.labels.repeat_interleave(batch.lengths["s"])[:, None]
    batch = replace(batch, values={**batch.values, "s": heard}, speakers=torch.arange(80) // 10)
    alone, method = fitted(batch), fitted(batch, learn_from="both")
    assert torch.equal(method.weight, alone.weight)
    assert not torch.equal(method.temperature, alone.temperature)
    assert (method.distances[:, 0] < method.distances[:, -1]).all()
    held = 0.0
    for part in parts_of(batch).unique():
        out = (parts_of(batch) == part).nonzero().squeeze(1)
        rest = (parts_of(batch) != part).nonzero().squeeze(1)
        held += float(fitted(small.take(batch, rest)).calibrate(small.take(batch, out))["temperature"]) / 4
    assert float(method.temperature) == pytest.approx(held, rel=0.5)


def test_a_temperature_that_is_set_stays(small, fitted):
    method = fitted(small.batch(80), temperature=0.5)
    assert method.calibrate(small.batch(60, seed=9)) == {"temperature": 0.5}


def test_a_row_of_nothing_answers_with_no_preference(small, fitted):
    method = fitted(small.batch(60))
    blind = {"x": torch.zeros(10, 3, dtype=torch.bool)}
    assert torch.equal(predictions(method, small.batch(), blind)["x"].logits, torch.zeros(10, 3))


def test_what_is_hidden_may_even_be_nan(small, fitted):
    method, batch = fitted(small.batch(60)), small.batch(absent=0.0)
    spoilt = Batch(
        {**batch.values, "v": batch.values["v"] * torch.nan}, batch.lengths, batch.available, batch.labels
    )
    seen = {"st": visibility("st", 10)}
    found, wanted = predictions(method, spoilt, seen)["st"], predictions(method, batch, seen)["st"]
    assert torch.equal(found.logits, wanted.logits)
    assert torch.equal(found.recovered["v"], wanted.recovered["v"])


def test_a_clip_unlike_the_training_data_says_so(small, fitted):
    method = fitted(small.batch(80, absent=0.0))
    method.calibrate(small.batch(60, seed=9, absent=0.0))
    usual = small.batch(40, seed=11, absent=0.0)
    odd = small.with_noise(usual, "s")

    def under(batch):
        return {m: method.unlikeness(hide(batch, visibility(m, 40))) for m in "st"}

    found, far = under(usual), under(odd)
    assert 0.3 < found["s"].mean() < 0.8
    assert far["s"].mean() > 0.95
    assert torch.equal(found["t"], far["t"])  # speech is not looked at where only text is used


def test_a_score_is_ridge_regression_by_hand(small):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(50, sum(small.dims.values()), generator=generator)
    y = z[:, 0] + 0.1 * torch.randn(50, generator=generator)
    batch = one_frame(z, y, small.dims)
    method = Gaussian(small.dims, small.scores, Gaussian.Settings())
    method.fit(batch, torch.Generator())
    x = method.features(batch)
    spread, target = x.T @ x / 49, (y.double() - y.double().mean())
    even = spread.diagonal().mean()
    weight = torch.linalg.solve(
        0.5 * spread + 0.5 * even * torch.eye(len(spread), dtype=torch.float64), 0.5 * x.T @ target / 49
    )
    wanted = y.double().mean() + (x - x.mean(0)) @ weight
    found = predictions(method, batch, {"svt": visibility("svt", 50)})["svt"].logits[:, 0]
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "recovered"])
@pytest.mark.parametrize("damaged", ["weight", "features.basis_v"])
def test_a_file_whose_tensors_do_not_fit_together_is_refused(small, tmp_path, name, damaged):
    method = small.method(name)
    description = {"method": name, "settings": {}, "dims": small.dims, "classes": small.classes.classes}
    model = Model(method, Normaliser(small.dims), torch.ones(3) / 3, small.classes, description)
    path = tmp_path / "model.safetensors"
    save_model(path, model)
    assert isinstance(load_model(path).method, type(method))
    tensors = load_file(path)
    tensors[f"method.{damaged}"] = tensors[f"method.{damaged}"].narrow(1, 0, 2).contiguous()
    retensored(path, tensors)
    with pytest.raises(UserError, match="do not fit together"):
        load_model(path)
