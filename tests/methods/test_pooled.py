"""What closed-form methods read of a sequence."""

import numpy as np
import pytest
import torch

from cmarr.data.batch import Batch
from cmarr.methods import pooled
from cmarr.methods.pooled import Pooling, StandardFeatures, fit_linear_model, rotation
from cmarr.task import Task


def still(batch: Batch) -> Batch:
    """The same with the first frame of each speech sequence alone."""
    lengths = batch.lengths["s"].clamp(max=1)
    first = torch.cat([part[:1] for part in batch.values["s"].split(batch.lengths["s"].tolist())])
    return Batch({**batch.values, "s": first}, {**batch.lengths, "s": lengths}, batch.available, batch.labels)


def test_statistics_are_those_that_the_settings_name(small):
    d = small.dims
    assert StandardFeatures(d).widths == {m: 2 * d[m] for m in "svt"}
    features = StandardFeatures(d, Pooling(percentiles="all", changes="speech"))
    features.fit(small.batch(20))
    assert features.widths == {"s": 8 * d["s"], "v": 7 * d["v"], "t": 7 * d["t"]}


def test_they_are_standardised_on_the_rows_that_have_the_modality(small):
    batch = small.batch(40)
    features = StandardFeatures(small.dims, Pooling())
    features.fit(batch)
    there, rows = features.available(batch, "s"), features.standard(batch, "s")
    assert rows[there].mean(0).numpy() == pytest.approx(0, abs=1e-9)
    assert rows[there].std(0, correction=0).numpy() == pytest.approx(1, abs=1e-9)
    assert not rows[~there].any()


def test_what_has_one_frame_an_utterance_is_not_read_several_times(small):
    features, plain = StandardFeatures(small.dims, Pooling()), StandardFeatures(small.dims)
    batch = still(small.batch(20))
    features.fit(batch)
    plain.fit(batch)
    assert torch.equal(features.standard(batch, "s"), plain.standard(batch, "s"))
    moving = small.batch(20, seed=3)  # and later utterances do not change what is read
    assert torch.equal(features.standard(moving, "s"), plain.standard(moving, "s"))


def test_how_many_are_read_at_once_changes_nothing(small, monkeypatch):
    batch, found = small.batch(20), []
    for rows in (3, 256):
        monkeypatch.setattr(pooled, "ROWS", rows)
        features = StandardFeatures(small.dims, Pooling())
        features.fit(batch)
        found.append(features.standard(batch, "s"))
    assert torch.equal(*found)


def test_a_linear_model_of_rotated_rows_is_that_of_the_rows():
    generator = np.random.default_rng(0)
    rows, labels = generator.normal(size=(30, 80)), np.arange(30) % 3
    basis = rotation(torch.from_numpy(rows))
    assert basis.shape == (80, 30)
    task, new = Task(("a", "b", "c")), generator.normal(size=(5, 80))
    weight, bias = fit_linear_model(rows @ basis.numpy(), labels, task, 0.1)
    whole, constant = fit_linear_model(rows, labels, task, 0.1)
    found = torch.from_numpy(new) @ (weight @ basis.T).T + bias
    wanted = torch.from_numpy(new) @ whole.T + constant
    torch.testing.assert_close(found.softmax(1), wanted.softmax(1), atol=2e-3, rtol=0)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_fit_that_starts_from_another_ends_where_it_would(classes):
    generator = np.random.default_rng(1)
    labels = np.arange(40) % classes
    rows, task = generator.normal(size=(40, 5)) + labels[:, None], Task(tuple("abc"[:classes]))
    cold = fit_linear_model(rows, labels, task, 1.0)
    warm = fit_linear_model(rows, labels, task, 1.0, fit_linear_model(rows, labels, task, 0.01))
    for a, b in zip(cold, warm, strict=True):
        torch.testing.assert_close(a, b, atol=1e-2, rtol=1e-2)
