"""Features of another corpus, made to fit a model."""

import numpy as np
import pytest

from cmarr.data.load import as_trained
from cmarr.data.store import build_store
from cmarr.errors import UserError
from cmarr.features.shards import FeatureTable


def table(width):
    return FeatureTable(["a", "b"], np.ones((3, width), np.float16), np.array([0, 1, 3]))


def test_what_the_model_does_not_know_is_left_out_and_what_the_corpus_lacks_is_missing():
    features = as_trained({"s": table(4), "v": table(5)}, {"s": 4, "t": 7}, "other")
    store = build_store(["a", "b"], features, [0, 1])
    assert store.dims == {"s": 4, "t": 7}
    assert store.available.tolist() == [[True, False, False], [True, False, False]]  # s, v, t


def test_another_width_is_another_encoder():
    with pytest.raises(UserError, match=r"other: its speech features are 5 numbers wide, .* trained on 4"):
        as_trained({"s": table(5)}, {"s": 4}, "other")


def test_nothing_in_common_is_refused():
    with pytest.raises(UserError, match=r"other: has none of the modalities .* \(text\)"):
        as_trained({"s": table(5)}, {"t": 4}, "other")
