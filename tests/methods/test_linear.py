"""`linear`: one logistic or ridge model a condition, on pooled features."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from cmarr.data.batch import Batch, visibility
from cmarr.data.normalise import Normaliser
from cmarr.methods.asking import predictions
from cmarr.methods.linear import Linear
from cmarr.methods.model import Model, load_model, save_model
from cmarr.methods.protocol import ClosedForm
from cmarr.modalities import CONDITIONS
from cmarr.task import Task

DIMS = {"s": 3, "v": 2, "t": 4}
TASK = Task(("a", "b", "c"))


def batch(rows: int = 60, seed: int = 0, absent: float = 0.2) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=generator)
    values, lengths = {}, {}
    for m, dim in DIMS.items():
        count = torch.randint(1, 6, (rows,), generator=generator)
        lengths[m] = torch.where(torch.rand(rows, generator=generator) < absent, 0, count)
        rows_of = torch.repeat_interleave(torch.arange(rows), lengths[m])
        noise = torch.randn(len(rows_of), dim, generator=generator)
        values[m] = noise + torch.eye(3, dim)[labels][rows_of]
    return Batch(values, lengths, torch.stack([lengths[m] > 0 for m in "svt"], 1), labels)


def fitted(task: Task = TASK, data: Batch | None = None) -> Linear:
    method = Linear(DIMS, task, Linear.Settings(C=0.1, percentiles="none", changes="none"))
    method.fit(data or batch(), torch.Generator())
    return method


def test_it_is_fitted_in_closed_form():
    assert isinstance(
        Linear(DIMS, TASK, Linear.Settings(C=0.1, percentiles="none", changes="none")), ClosedForm
    )


def pooled(data: Batch, modality: str) -> np.ndarray:
    padded, mask = data.padded(modality)
    rows = [p[m].numpy() for p, m in zip(padded, mask, strict=True)]
    return np.stack([np.concatenate([r.mean(0), r.std(0)]) for r in rows])


def test_one_modality_is_plain_logistic_regression():
    data = batch(absent=0.0)
    inputs = pooled(data, "t")
    standard = (inputs - inputs.mean(0)) / inputs.std(0)
    reference = LogisticRegression(C=0.1, max_iter=2000).fit(standard, data.labels)
    logits = predictions(fitted(data=data), data, {"t": visibility("t", len(data))})["t"].logits
    assert logits.softmax(1).numpy() == pytest.approx(reference.predict_proba(standard), abs=1e-3)


def test_regression_is_plain_ridge():
    data = batch(absent=0.0)
    data = Batch(data.values, data.lengths, data.available, torch.randn(len(data)))
    inputs = np.concatenate([pooled(data, "s"), pooled(data, "t")], 1)
    standard = (inputs - inputs.mean(0)) / inputs.std(0)
    reference = Ridge(alpha=10.0).fit(standard, data.labels).predict(standard)
    answers = predictions(fitted(Task(), data), data, {"st": visibility("st", len(data))})["st"].logits
    assert answers[:, 0].numpy() == pytest.approx(reference, abs=1e-3)


def test_an_absent_modality_chooses_another_condition_s_model():
    data = batch(absent=0.4)
    method = fitted(data=data)
    only_text = (data.available == torch.tensor([False, False, True])).all(1)
    assert only_text.any()
    answers = predictions(method, data, {c: visibility(c, len(data)) for c in ("t", "svt")})
    assert torch.equal(answers["svt"].logits[only_text], answers["t"].logits[only_text])


def test_a_class_absent_under_a_condition_is_never_predicted_there():
    data = batch(absent=0.0)
    lengths = dict(data.lengths)
    lengths["t"] = torch.where(data.labels == 2, 0, lengths["t"])
    keep = torch.repeat_interleave(data.labels != 2, data.lengths["t"])
    values = {**data.values, "t": data.values["t"][keep]}
    available = torch.stack([lengths[m] > 0 for m in "svt"], 1)
    data = Batch(values, lengths, available, data.labels)
    logits = predictions(fitted(data=data), data, {"t": visibility("t", len(data))})["t"].logits
    assert torch.isfinite(logits).all()
    assert not (logits[available[:, 2]].argmax(1) == 2).any()


def test_it_beats_chance_on_what_it_has_not_seen():
    answers = predictions(fitted(), batch(seed=1), {c: visibility(c, 60) for c in CONDITIONS})
    accuracy = (answers["svt"].logits.argmax(1) == batch(seed=1).labels).float().mean()
    assert accuracy > 0.6


def test_it_comes_back_from_disk_as_it_was(tmp_path):
    data, method = batch(), fitted()
    description = {"method": "linear", "settings": {}, "dims": DIMS, "classes": TASK.classes}
    model = Model(method, Normaliser(DIMS), torch.ones(3) / 3, TASK, description)
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors").method
    masks = {c: visibility(c, len(data)) for c in CONDITIONS}
    before, after = predictions(method, data, masks), predictions(loaded, data, masks)
    assert all(torch.equal(before[c].logits, after[c].logits) for c in CONDITIONS)
