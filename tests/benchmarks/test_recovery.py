"""The study of when recovery pays: its corpora are what they say, and its gains are paired."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.recovery import AXES, GROUPS, METHODS, TITLES, Trial, corpus, figure, gains, trials
from cmarr.modalities import CONDITIONS

USUAL = Trial("masked", shared=0.5, absent=0.0, train=100, epochs=1, replicate=0)


def pooled(store, modality):
    return store.values[modality].view(len(store), -1, store.dims[modality]).mean(1).numpy()


def predictable(shared: float) -> float:
    """Share of speech that ridge regression from video explains on new utterances."""
    from sklearn.linear_model import Ridge

    store = corpus(Trial("masked", shared, 0.0, 800, 1, 0), 800, 0, 0.0)
    x, y = pooled(store, "v"), pooled(store, "s")
    return Ridge(1.0).fit(x[:600], y[:600]).score(x[600:], y[600:])


def test_more_shared_content_makes_modalities_predict_each_other():
    assert predictable(0.0) < 0.2
    assert predictable(1.0) > predictable(0.5) + 0.1


def test_methods_are_compared_on_the_same_utterances():
    first, second = (corpus(Trial(name, 0.5, 0.3, 100, 1, 0), 50, 0, 0.3) for name in ("masked", "cmarr"))
    assert torch.equal(first.labels, second.labels)
    assert all(torch.equal(first.values[m], second.values[m]) for m in first.values)
    other = corpus(Trial("masked", 0.5, 0.3, 100, 1, 1), 50, 0, 0.3)
    assert not torch.equal(first.labels, other.labels)


def test_absence_leaves_every_utterance_something():
    store = corpus(USUAL, 400, 0, 0.6)
    assert store.available.any(1).all()
    assert 0.3 < store.available.float().mean() < 0.55  # 0.4, and what the rescue of empty ones adds
    batch = store.batch(torch.arange(10))
    assert all(len(batch.values[m]) == int(batch.lengths[m].sum()) for m in batch.values)


def test_every_training_is_listed_once():
    listed = list(trials(list(AXES), 2, 40, None))
    assert len(listed) == len(set(listed))
    points = 1 + sum(len(values) - 1 for values in AXES.values())  # the axes meet in one point
    assert len(listed) == 2 * len(METHODS) * points


def test_gains_are_paired_by_corpus():
    def row(method, replicate, score):
        return vars(Trial(method, 0.5, 0.0, 300, 1, replicate)) | dict.fromkeys(CONDITIONS, score)

    results = pd.DataFrame(
        [row("masked", 0, 0.5), row("masked", 1, 0.7), row("cmarr", 1, 0.6), row("cmarr", 0, 0.8)]
    )
    found = gains(results).set_index("replicate")["one missing"]
    assert found[0] == pytest.approx(0.3)
    assert found[1] == pytest.approx(-0.1)
    drawn = figure(gains(results), {"shared": 0.5, "absent": 0.0, "train": 300})
    heights = [line.get_ydata() for line in drawn.axes[0].lines if line.get_label() == "cmarr"]
    assert np.allclose(heights, [[10.0]])


def test_only_what_was_studied_is_drawn():
    points = [{"shared": s, "absent": 0.0, "train": 300} for s in AXES["shared"]]
    found = pd.DataFrame([p | {"method": "cmarr", **dict.fromkeys(GROUPS, 0.01)} for p in points])
    drawn = figure(found, {"shared": 0.5, "absent": 0.0, "train": 300})
    assert [axes.get_xlabel() for axes in drawn.axes] == [TITLES["shared"]] * 2
