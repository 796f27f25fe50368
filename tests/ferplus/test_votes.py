"""Labels from votes, worked by hand."""

import numpy as np

from cmarr.ferplus.votes import COLUMNS, distribution, has_majority, is_face, is_tied, label


def row(**votes: int) -> list[int]:
    return [votes.get(name, 0) for name in COLUMNS]


def test_the_columns_are_those_of_the_table():
    assert COLUMNS[:2] == ("neutral", "happiness") and COLUMNS[-3:] == ("contempt", "unknown", "NF")


def test_votes_become_shares_of_the_emotions_alone():
    votes = np.array([row(neutral=4, anger=1, disgust=3, unknown=2)])
    np.testing.assert_allclose(distribution(votes)[0], np.array([4, 0, 0, 0, 1, 3, 0, 0]) / 8)


def test_the_label_is_the_first_column_on_ties_and_unknown_is_none():
    votes = np.array([row(sadness=4, neutral=4, anger=2), row(unknown=6, fear=4), row(contempt=9, neutral=1)])
    assert label(votes).tolist() == [0, 6, 7]
    assert is_tied(votes).tolist() == [True, False, False]


def test_one_vote_for_no_face_is_enough_and_so_is_no_emotion():
    votes = np.array([row(happiness=10), row(happiness=9, NF=1), row(unknown=10)])
    assert is_face(votes).tolist() == [True, False, False]


def test_a_majority_is_more_than_half_of_the_votes_that_do_not_stand_alone():
    votes = np.array(
        [
            row(neutral=6, anger=4),
            row(neutral=5, anger=5),
            row(neutral=5, anger=3, fear=1, sadness=1),  # 5 of 8
            row(neutral=4, anger=3, fear=3),
            row(unknown=6, anger=4),
            row(neutral=1, anger=1, fear=1),  # all alone
        ]
    )
    assert has_majority(votes).tolist() == [True, False, True, False, False, False]
