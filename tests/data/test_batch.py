"""Ragged stores and batches, masks and normalisation."""

import numpy as np
import pytest
import torch

from cmarr.data.batch import Batch, pad, visibility
from cmarr.data.masks import draw_visible
from cmarr.data.normalise import Normaliser
from cmarr.data.store import build_store, ragged_rows
from cmarr.features.shards import FeatureTable
from cmarr.modalities import CONDITIONS


def table(**sequences: list[float]) -> FeatureTable:
    """One-dimensional sequences by utterance id."""
    values = np.concatenate([np.array(v, np.float16) for v in sequences.values()])[:, None]
    return FeatureTable(list(sequences), values, np.cumsum([0, *map(len, sequences.values())]))


def test_pad_puts_zeros_behind_the_shorter_sequence():
    padded, mask = pad(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([2, 0, 1]))
    assert padded[..., 0].tolist() == [[1, 2], [0, 0], [3, 0]]
    assert mask.tolist() == [[True, True], [False, False], [True, False]]


def test_pad_of_nothing_keeps_one_empty_step():
    padded, mask = pad(torch.zeros(0, 4), torch.tensor([0, 0]))
    assert padded.shape == (2, 1, 4)
    assert not mask.any()


def test_ragged_rows_by_hand():
    assert ragged_rows(torch.tensor([5, 0, 9]), torch.tensor([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


def test_a_store_holds_only_its_own_utterances_in_its_own_order():
    features = {"s": table(a=[1, 2], b=[3], c=[4, 5, 6]), "t": table(c=[7])}
    store = build_store(["c", "a"], features, [1, 0])
    assert store.dims == {"s": 1, "t": 1}
    assert store.values["s"][:, 0].tolist() == [4, 5, 6, 1, 2]
    assert store.available.tolist() == [[True, False, True], [True, False, False]]
    batch = store.batch(torch.tensor([1, 0]))
    assert batch.values["s"][:, 0].tolist() == [1, 2, 4, 5, 6]
    assert batch.lengths["t"].tolist() == [0, 1]
    assert batch.labels.tolist() == [0, 1]
    assert batch.values["s"].dtype == torch.float32


def test_scores_stay_scores():
    store = build_store(["a", "b"], {"s": table(a=[1], b=[2])}, [0.0, -2.5])
    assert store.labels.dtype == torch.float32
    assert store.labels.tolist() == [0, -2.5]


def test_an_utterance_without_features_is_unavailable():
    store = build_store(["x", "a"], {"s": table(a=[1])}, [0, 1])
    assert store.available.tolist() == [[False] * 3, [True, False, False]]


def test_visibility_of_a_condition():
    assert visibility("vt", 2).tolist() == [[False, True, True]] * 2


def test_normaliser_by_hand():
    normaliser = Normaliser({"s": 2})
    normaliser.fit({"s": torch.tensor([[0.0, 7.0], [2.0, 7.0], [4.0, 7.0]])})
    batch = Batch(
        {"s": torch.tensor([[4.0, 8.0]])}, {"s": torch.tensor([1])}, torch.ones(1, 3), torch.zeros(1)
    )
    # mean 2, deviation sqrt(8/3); the second feature is constant: centred, not scaled
    expected = [(4 - 2) / (8 / 3) ** 0.5, 1.0]
    assert normaliser(batch).values["s"][0].tolist() == pytest.approx(expected)


def test_normaliser_is_saved_with_its_statistics():
    normaliser = Normaliser({"s": 1})
    normaliser.fit({"s": torch.tensor([[1.0], [3.0]])})
    other = Normaliser({"s": 1})
    other.load_state_dict(normaliser.state_dict())
    assert (other.mean_s, other.scale_s) == (2.0, 1.0)


def patterns(visible: torch.Tensor) -> list[str]:
    letters = np.array(list("svt"))
    return ["".join(letters[row]) for row in visible.numpy()]


@pytest.mark.parametrize(("conditions", "number"), [("seven", 7), ("six", 6)])
def test_masks_are_uniform_over_the_conditions(conditions, number):
    available = torch.ones(7000, 3, dtype=torch.bool)
    drawn = patterns(draw_visible(available, torch.Generator().manual_seed(0), conditions=conditions))
    counts = {p: drawn.count(p) for p in set(drawn)}
    assert len(counts) == number
    # three standard deviations of a binomial count
    spread = 3 * (7000 / number * (1 - 1 / number)) ** 0.5
    assert all(abs(c - 7000 / number) < spread for c in counts.values())
    assert ("svt" in counts) == (conditions == "seven")


def test_no_draw_leaves_an_utterance_nothing_usable():
    generator = torch.Generator().manual_seed(1)
    available = torch.rand(2000, 3, generator=generator) < 0.5
    for per in ("sample", "batch"):
        usable = draw_visible(available, generator, per=per) & available
        assert torch.equal(usable.any(1), available.any(1))


def test_one_draw_for_the_whole_batch():
    visible = draw_visible(torch.ones(50, 3, dtype=torch.bool), torch.Generator().manual_seed(3), per="batch")
    assert len(set(patterns(visible))) == 1


def test_masks_depend_on_the_generator_alone():
    available = torch.ones(20, 3, dtype=torch.bool)
    first, second = (draw_visible(available, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert set(patterns(first)) <= {"".join(sorted(c, key="svt".index)) for c in CONDITIONS}


def test_cmad_draws_some_conditions_more_often():
    """Two, three, three, one, three, one and one of fourteen; what is not there is redrawn among the rest."""
    generator = torch.Generator().manual_seed(0)
    drawn = patterns(draw_visible(torch.ones(14000, 3, dtype=torch.bool), generator, conditions="cmad"))
    expected = {"t": 2, "s": 3, "v": 3, "vt": 1, "sv": 3, "st": 1, "svt": 1}
    for condition, share in expected.items():
        assert abs(drawn.count("".join(sorted(condition, key="svt".index))) - 1000 * share) < 150
    whole = [
        patterns(draw_visible(torch.ones(2, 3, dtype=torch.bool), generator, per="batch", conditions="cmad"))
        for _ in range(700)
    ]
    assert all(len(set(batch)) == 1 for batch in whole)
    assert 110 < sum(batch[0] == "s" for batch in whole) < 190
    silent = torch.tensor([[False, True, True]]).expand(500, 3)
    assert "s" not in patterns(draw_visible(silent, generator, conditions="cmad"))
