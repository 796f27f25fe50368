"""`late`: one classifier a modality, and the product of what they say."""

import pytest
import torch

from cmarr.data.batch import Batch, visibility
from cmarr.methods.asking import predictions
from cmarr.methods.late import Late
from cmarr.methods.protocol import Calibrated, ClosedForm
from cmarr.task import Task

DIMS = {"s": 3, "v": 2, "t": 4}
TASK = Task(("a", "b", "c"))


def batch(rows=200, seed=0, alone=False, scores=False):
    """Frames around a corner of a cube for each class; text says nothing; `alone`: a row has one modality."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), rows, replacement=True, generator=generator)
    only = torch.randint(3, (rows,), generator=generator)
    values, lengths = {}, {}
    for i, (m, dim) in enumerate(DIMS.items()):
        lengths[m] = torch.where((only == i) | (not alone), 2, 0)
        rows_of = torch.repeat_interleave(torch.arange(rows), lengths[m])
        signal = 0.0 if m == "t" else 1.0
        noise = torch.randn(rows, dim, generator=generator)[rows_of]
        values[m] = noise + signal * torch.eye(3, dim)[labels][rows_of]
    truth = labels.float() if scores else labels
    return Batch(values, lengths, torch.stack([lengths[m] > 0 for m in "svt"], 1), truth)


def fitted(data=None, task=TASK, **settings):
    method = Late(DIMS, task, Late.Settings(**settings))
    method.fit(data or batch(), torch.Generator())
    return method


def logits(method, data, condition):
    return predictions(method, data, {"x": visibility(condition, len(data))})["x"].logits


def test_it_is_fitted_in_closed_form_and_calibrated():
    method = Late(DIMS, TASK, Late.Settings())
    assert isinstance(method, ClosedForm) and isinstance(method, Calibrated)


def test_two_modalities_are_the_product_of_what_each_says_beyond_the_prior():
    """log p(k | s, v) = log p(k | s) + log p(k | v) - log p(k), up to a constant."""
    method, data = fitted(), batch(20, seed=1)
    prior = torch.bincount(batch().labels, minlength=3).div(200).log()
    s, v, both = (logits(method, data, c).log_softmax(1) for c in ("s", "v", "sv"))
    torch.testing.assert_close(both, (s + v - prior).log_softmax(1), atol=1e-5, rtol=0)


def test_a_row_of_nothing_gets_the_prior():
    method, data = fitted(), batch(4)
    nothing = predictions(method, data, {"x": torch.zeros(4, 3, dtype=torch.bool)})["x"].logits
    torch.testing.assert_close(nothing[0].softmax(0), torch.bincount(batch().labels, minlength=3) / 200)


def test_no_row_need_have_two_modalities():
    method, data = fitted(batch(600, alone=True), C=1.0), batch(300, seed=2)
    right = {c: (logits(method, data, c).argmax(1) == data.labels).float().mean() for c in ("s", "v", "sv")}
    assert right["sv"] > max(right["s"], right["v"]) > 0.6


def test_calibration_trusts_what_holds_on_validation_data_and_lowers_its_loss():
    method, validation = fitted(C=10.0), batch(300, seed=3)
    before = torch.nn.functional.cross_entropy(logits(method, validation, "svt"), validation.labels)
    trust = method.calibrate(validation)
    after = torch.nn.functional.cross_entropy(logits(method, validation, "svt"), validation.labels)
    assert after < before
    assert trust["t"] < 0.5 < min(trust["s"], trust["v"])  # text says nothing, and was fitted to noise
    other = fitted(C=10.0)
    other.calibrated(trust)
    assert torch.equal(logits(other, validation, "svt"), logits(method, validation, "svt"))


def test_without_validation_data_trust_is_chosen_on_speakers_that_are_left_out():
    method = fitted(C=10.0)
    s, v, t = method.trust.tolist()
    assert t < 0.5 < min(s, v)
    assert fitted(learn_from="training").trust.tolist() == [1, 1, 1]


def test_an_even_prior_counts_every_class_alike():
    data = batch(300, seed=4)
    recall = {
        prior: [
            (logits(fitted(prior=prior), data, "v").argmax(1)[data.labels == k] == k).float().mean()
            for k in range(3)
        ]
        for prior in ("training", "even")
    }
    assert min(recall["even"]) > min(recall["training"])
    nothing = predictions(fitted(prior="even"), data, {"x": torch.zeros(300, 3, dtype=torch.bool)})[
        "x"
    ].logits
    torch.testing.assert_close(nothing[0].softmax(0), torch.full((3,), 1 / 3))


def test_scores_are_averaged_by_trust():
    data = batch(300, scores=True)
    method = fitted(data, Task(), C=1.0)
    trust = method.calibrate(batch(300, seed=5, scores=True))
    s, v, both = (logits(method, data, c) for c in ("s", "v", "sv"))
    wanted = (trust["s"] * s + trust["v"] * v) / (trust["s"] + trust["v"])
    torch.testing.assert_close(both, wanted, atol=1e-4, rtol=0)
    assert logits(method, data, "sv").squeeze(1).sub(data.labels).square().mean() < data.labels.var()


@pytest.mark.parametrize("labels", [[0] * 12, [0, 1] * 6])
def test_classes_that_nobody_trains_are_never_predicted(labels):
    data = batch(12)
    data = Batch(data.values, data.lengths, data.available, torch.tensor(labels))
    answers = logits(fitted(data, prior="even"), batch(50, seed=6), "svt").argmax(1)
    assert set(answers.tolist()) <= set(labels)
