"""Hashed words and character n-grams: one row a token, whatever else is in the batch."""

import numpy as np
import pytest

from cmarr.encoders.hashing import Hashing
from cmarr.encoders.protocol import is_absence
from cmarr.utterance import Rejected, Utterance

Settings = Hashing.Settings


def rows(text, **settings):
    (answer,) = Hashing(Settings(**settings)).encode([Utterance("u", text=text)])
    return answer.frames


def test_one_row_a_word_or_punctuation_mark():
    (answer,) = Hashing(Settings(dim=128)).encode([Utterance("u", text="I don't know, really!")])
    assert answer.frames.shape == (6, 128)  # i, don't, know, the comma, really, the exclamation mark
    assert answer.frames.dtype == np.float32
    assert answer.times.tolist() == [0, 1, 2, 3, 4, 5]  # positions, not seconds


def test_rows_have_unit_length_and_signs():
    frames = rows("some words, and more of them")
    np.testing.assert_allclose(np.linalg.norm(frames, axis=1), 1, atol=1e-6)
    assert (frames < 0).any() and (frames > 0).any()


def test_the_same_word_has_the_same_row_in_any_place_and_company():
    alone = rows("happy")[0]
    np.testing.assert_array_equal(rows("so HAPPY today")[1], alone)
    together = list(Hashing(Settings()).encode([Utterance(str(i), text="happy " * i) for i in range(1, 4)]))
    for answer in together:
        np.testing.assert_array_equal(answer.frames, np.tile(alone, (len(answer.frames), 1)))


def test_words_that_share_letters_are_near_and_others_are_not():
    walk, walked, gloomy = rows("walk walked gloomy", dim=1024)
    assert walk @ walked > 0.2
    assert abs(walk @ gloomy) < 0.15


def test_the_word_weighs_as_much_as_its_pieces():
    """'ab' between marks has the pieces <a ab b> <ab ab> <ab>: 1 + 6 / 6 squared weights, so 1 / sqrt 2 each."""
    (row,) = rows("ab", dim=1 << 16)
    weights = np.sort(np.abs(row[row != 0]))
    np.testing.assert_allclose(weights, [np.sqrt(1 / 12)] * 6 + [np.sqrt(1 / 2)], atol=1e-6)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00", "\u200b\ufeff"])
def test_a_blank_transcript_is_an_absence(text):
    (answer,) = Hashing(Settings()).encode([Utterance("u", text=text)])
    assert isinstance(answer, Rejected)
    assert is_absence(answer)


@pytest.mark.parametrize("text", ["déjà vu", "我很高兴", "🙂", "a\x00b", "\ud83d", "a" * 5000])
def test_any_characters_give_finite_rows(text):
    assert np.isfinite(rows(text)).all()


def test_characters_that_nobody_sees_change_nothing():
    assert np.array_equal(rows("co\u00adoperate\u200e now\ufeff"), rows("cooperate now"))
    assert np.array_equal(rows("co\u200boperate"), rows("co operate"))  # a place where a line may break
