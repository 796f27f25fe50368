"""What terms weigh, fitted on training rows."""

import numpy as np
import torch

from cmarr.data.normalise import Normaliser
from cmarr.data.store import build_store
from cmarr.data.terms import Terms
from cmarr.features.shards import FeatureTable


def counts(rows=40, terms=12, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).poisson(0.5, (rows, terms))).float()


def test_with_all_directions_nothing_is_lost():
    train, other = counts(48), counts(10, seed=1)
    terms = Terms(12, 12)
    terms.fit(train)
    weighted = other * ((49 / (1 + (train > 0).sum(0))).log() + 1)
    weighted /= weighted.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(
        torch.cdist(terms(other), terms(other)), torch.cdist(weighted, weighted), atol=1e-4
    )


def test_few_texts_have_few_directions_and_the_others_are_zeros():
    terms = Terms(12, 9)
    terms.fit(counts(16))
    found = terms(counts(5, seed=2))
    assert found.shape == (5, 9) and not found[:, 4:].any() and found[:, :4].any(0).all()
    assert terms(torch.zeros(1, 12)).isfinite().all()  # a text of terms that nobody hashed


def test_where_texts_are_alike_there_is_no_direction():
    """Along one that is noise, any other text would lie far out."""
    terms = Terms(12, 9)
    terms.fit(counts(2)[[0, 1] * 20])  # two sentences, said again and again
    found = terms(counts(5, seed=2))
    assert found[:, 0].any() and not found[:, 1:].any() and found.abs().max() < 2


def test_the_draws_around_it_change_nothing_and_are_not_changed():
    one, other = Terms(12, 3), Terms(12, 3)
    torch.manual_seed(1)
    one.fit(counts())
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn
    other.fit(counts())
    assert torch.equal(one.directions, other.directions)


def test_a_store_of_counts_is_normalised_to_its_directions():
    values = counts().numpy().astype(np.float16)
    table = FeatureTable([str(i) for i in range(40)], values, np.arange(41), directions=3)
    store = build_store(table.ids, {"t": table}, [0] * 40)
    assert store.dims == {"t": 12} and store.widths == {"t": 3}
    normaliser = Normaliser(store.widths, {"t": 12})
    normaliser.fit(store.frames())
    found = normaliser(store.batch(torch.arange(40))).values["t"]
    assert found.shape == (40, 3)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0, correction=0), 1, atol=1e-4)
