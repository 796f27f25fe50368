"""Which cells (utterance x modality) a protocol hides."""

from itertools import pairwise

import numpy as np
import pytest

from cmarr.masks.draw import generator, hide, hide_batches, hide_groups, rising
from cmarr.masks.protocols import DICMOR

ONE = np.zeros((200, 3), int)
EVERYTHING = np.ones((200, 3), bool)


def naturally(absent: float, rows: int = 200) -> np.ndarray:
    """Availability with holes; some utterances have nothing at all."""
    return np.random.default_rng(1).random((rows, 3)) >= absent


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.6])
def test_the_rate_is_reached_to_the_cell(rate):
    assert (~hide(EVERYTHING, ONE, [rate], generator(0, "rate"))).sum() == round(600 * rate)


def test_what_is_naturally_absent_counts_as_hidden():
    available = naturally(0.2)
    usable = hide(available, ONE, [0.5], generator(0, "rate"))
    assert (~usable).sum() == 300
    assert not (usable & ~available).any()
    untouched = hide(available, ONE, [0.1], generator(0, "rate"))  # 0.2 are absent already
    np.testing.assert_array_equal(untouched, available)


def test_every_utterance_keeps_a_modality_so_that_0_7_ends_at_two_thirds():
    usable = hide(EVERYTHING, ONE, [0.7], generator(0, "rate"))
    assert (usable.sum(1) == 1).all()
    assert 1 - usable.mean() == pytest.approx(2 / 3)
    holes = naturally(0.5)
    left = hide(holes, ONE, [0.9], generator(0, "rate"))
    np.testing.assert_array_equal(left.any(1), holes.any(1))


def test_a_higher_rate_hides_more_of_the_same():
    masks = [hide(naturally(0.1), ONE, [rate / 10], generator(0, "rate")) for rate in range(8)]
    assert all((high <= low).all() for low, high in pairwise(masks))


def test_a_seed_and_a_name_are_a_mask_set():
    drawn = [
        hide(EVERYTHING, ONE, [0.3], generator(*g)) for g in ((0, "rate"), (0, "rate"), (1, "rate"), (0, "x"))
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[3])


def test_no_modality_is_preferred():
    usable = hide(np.ones((6000, 3), bool), np.zeros((6000, 3), int), [0.5], generator(0, "rate"))
    np.testing.assert_allclose(usable.mean(0), 0.5, atol=0.03)


def test_one_modality_may_be_missing_nearly_everywhere():
    columns = ONE + np.arange(3)
    usable = hide(EVERYTHING, columns, [0.9, 0.3, 0.3], generator(0, "unbalanced_speech"), spare=0)
    np.testing.assert_allclose(1 - usable.mean(0), [0.9, 0.3, 0.3])
    assert usable.any(1).all()


def test_an_utterance_with_nothing_but_the_rare_modality_keeps_it():
    alone = np.zeros((200, 3), bool)
    alone[:, 0] = True
    assert hide(alone, ONE + np.arange(3), [0.9, 0.3, 0.3], generator(0, "u"), spare=0)[:, 0].all()


def test_classes_have_rates_of_their_own():
    labels = ["angry", "happy", "sad", "sad"] * 50
    of_class, rates = rising(["angry", "happy", "sad"], labels, 0.6)
    assert rates == pytest.approx([0.0, 0.3, 0.6])
    hidden = ~hide(EVERYTHING, ONE + of_class[:, None], rates, generator(0, "by_class"))
    for place, rate in enumerate(rates):
        assert hidden[of_class == place].mean() == pytest.approx(rate)


def test_a_speaker_loses_a_modality_in_every_utterance():
    speakers = [f"s{i // 10}" for i in range(200)]
    usable = hide_groups(EVERYTHING, speakers, 0.4, generator(0, "by_speaker"))
    of_speaker = usable.reshape(20, 10, 3)
    assert (of_speaker == of_speaker[:, :1]).all()
    assert 1 - usable.mean() == pytest.approx(0.4)
    assert usable.any(1).all()


def test_whole_speakers_come_as_near_to_the_rate_as_they_can():
    two = hide_groups(np.ones((8, 3), bool), ["a"] * 4 + ["b"] * 4, 0.3, generator(0, "by_speaker"))
    assert (~two).sum() == 8  # 0.333; one modality of one speaker is 0.167


def test_a_speaker_keeps_what_one_of_its_utterances_has_alone():
    available = np.array([[True, True, True], [True, False, False]])
    usable = hide_groups(available, ["a", "a"], 0.66, generator(0, "by_speaker"))
    assert usable[:, 0].all()


@pytest.mark.parametrize(("rate", "shares"), DICMOR.items())
def test_dicmors_shares_make_the_rate(rate, shares):
    assert (2 * shares[0] + shares[1]) / 3 == pytest.approx(min(rate, 2 / 3))


def test_a_batch_loses_the_same_modalities():
    visible = hide_batches(320, DICMOR[0.5], 32, generator(0, "rate"))
    assert 1 - visible.mean() == pytest.approx(0.5)
    assert sorted(visible.sum(1).tolist()) == [1] * 224 + [2] * 32 + [3] * 64
