"""Scores, balance and calibration on answers small enough to score by hand."""

import numpy as np
import pytest
from miniature import faces

from cmarr.encoders.face_network import EMOTIONS
from denseface.ferplus import label
from denseface.scoring import balanced, best_strength, calibration, class_shares, part_scores

EVEN = np.full(8, 1 / 8)


def answers(given, confidence=0.65):
    """Log probabilities: `confidence` for the emotion given, the rest evenly among the others."""
    found = np.full((len(given), 8), (1 - confidence) / 7)
    found[np.arange(len(given)), given] = confidence
    return np.log(found)


def test_accuracy_and_uar_of_answers_that_are_all_neutral():
    some = faces(12)  # 2 of each of the first four emotions, 1 of the others
    found = part_scores(answers([0] * 12), some, EVEN, 0.5)["plain"]
    assert found["all"]["accuracy"][0] == pytest.approx(2 / 12)
    assert found["all"]["UAR"][0] == pytest.approx(1 / 8)
    assert found["recall"] == dict(zip(EMOTIONS, [1.0] + [0.0] * 7, strict=True))
    assert [row[0] for row in found["confusion"]] == [2, 2, 2, 2, 1, 1, 1, 1]


def test_an_interval_holds_its_value_and_narrows_with_more_faces():
    def interval(count):
        some = faces(count)
        given = label(some.votes)
        given[::3] = 0
        value, low, high = part_scores(answers(given), some, EVEN, 0.0)["plain"]["all"]["UAR"]
        assert low < value < high
        return high - low

    assert interval(800) < 0.4 * interval(80)


def test_subsets_leave_out_ties_and_faces_without_majority():
    some = faces(8)
    some.votes[0] = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]
    some.votes[1] = [3, 4, 3, 0, 0, 0, 0, 0, 0, 0]
    found = part_scores(answers(label(some.votes)), some, EVEN, 0.0)["plain"]
    assert [found[subset]["faces"] for subset in ("all", "untied", "majority")] == [8, 7, 6]


def test_who_is_no_face_to_somebody_counts_in_the_majority_subset_alone():
    some = faces(8)
    some.votes[0, -1] = 1
    some.votes[1, -1] = 10
    found = part_scores(answers(label(some.votes)), some, EVEN, 0.0)
    assert found["faces"] == found["plain"]["all"]["faces"] == sum(found["labelled"].values()) == 6
    assert found["plain"]["majority"]["faces"] == 7


def test_an_emotion_that_nobody_shows_has_no_recall():
    some = faces(4)
    found = part_scores(answers(label(some.votes)), some, EVEN, 0.0)["plain"]
    assert found["recall"]["contempt"] is None
    assert found["all"]["UAR"][0] == 1.0


def test_calibration_is_the_gap_between_confidence_and_accuracy():
    some = faces(8)
    given = label(some.votes)
    given[:2] = (given[:2] + 3) % 8  # 6 of 8 right
    found = calibration(answers(given, confidence=0.65), some)
    assert found["confidence"] == pytest.approx(0.65)
    assert found["error"] == pytest.approx(0.10)


def test_cross_entropy_is_the_votes_own_where_the_answers_are_the_votes():
    some = faces(8)  # 8 votes and 2 votes
    votes = some.votes[:, :8] / 10
    found = calibration(np.log(votes + 1e-12), some)
    expected = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert found["cross_entropy"] == pytest.approx(expected) == found["entropy"]


def test_balance_takes_the_shares_out():
    shares = np.array([0.5, *[0.5 / 7] * 7])
    np.testing.assert_allclose(balanced(np.log(shares)[None], shares, 1.0), np.zeros((1, 8)), atol=1e-12)
    assert balanced(answers([3]), shares, 0.0).argmax() == 3


def test_the_strength_is_the_weakest_that_is_best():
    some = faces(16)
    shares = np.array([0.9, *[0.1 / 7] * 7])
    truth = answers(label(some.votes), confidence=0.4)
    assert best_strength(truth, some, shares) == 0.0  # all right already
    biased = truth + 0.5 * np.log(shares)  # half of the shares is in the answers
    chosen = best_strength(biased, some, shares)
    assert 0 < chosen <= 0.5
    assert (balanced(biased, shares, chosen).argmax(1) == label(some.votes)).all()


def test_shares_are_those_of_the_labels_and_never_zero():
    np.testing.assert_allclose(class_shares(faces(4)), np.array([1] * 8) / 8)
    np.testing.assert_allclose(class_shares(faces(12)), np.array([2, 2, 2, 2, 1, 1, 1, 1]) / 12)
