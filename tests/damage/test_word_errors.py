"""Word errors at the asked rate, from training words, the same whatever else is damaged."""

import numpy as np
import pytest

from cmarr.damage.corruptions import ERRORS, vocabulary, with_word_errors, word_error_rate

WORDS = vocabulary(["the train is late again", "the cat", None, ""])
SAID = [" ".join(f"w{i}x{j}" for j in range(1 + i % 12)) for i in range(400)]


def heard(rate, seed=0):
    return [with_word_errors(text, rate, WORDS, seed, f"u{i}") for i, text in enumerate(SAID)]


def test_the_vocabulary_is_every_word_as_often_as_it_occurs():
    assert WORDS == ("again", "cat", "is", "late", "the", "the", "train")


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3, 0.4, 0.5])
def test_the_realised_rate_is_the_one_asked_for(rate):
    realised = word_error_rate(SAID, heard(rate))
    # an edit distance reads a deletion beside an insertion as one substitution: never more than what was done
    assert 0.88 * rate < realised < 1.03 * rate


def test_no_errors_leave_a_transcript_as_it_is():
    text = "  well,\tit  is "
    assert with_word_errors(text, 0.0, WORDS, 0, "u") == text
    assert with_word_errors(text, 0.5, (), 0, "u") == text
    assert with_word_errors("", 0.5, WORDS, 0, "u") == ""


def test_errors_come_from_seed_and_utterance_alone():
    assert heard(0.3) == heard(0.3)
    assert heard(0.3) != heard(0.3, seed=1)
    assert with_word_errors(SAID[11], 0.3, WORDS, 0, "a") != with_word_errors(SAID[11], 0.3, WORDS, 0, "b")


def test_a_higher_rate_adds_errors_to_those_of_a_lower_one():
    for i, text in enumerate(SAID[:50]):
        kept = [
            set(with_word_errors(text, rate, WORDS, 0, f"u{i}").split()) & set(text.split())
            for rate in (0.2, 0.4)
        ]
        assert kept[1] <= kept[0]


def test_substitutions_deletions_and_insertions_are_equally_frequent():
    counts = dict.fromkeys(ERRORS, 0)
    for i in range(600):
        result = with_word_errors("alone", 1.0, WORDS, 0, f"u{i}").split()
        kind = "deletion" if not result else "insertion" if len(result) == 2 else "substitution"
        counts[kind] += 1
        assert "alone" in result or kind != "insertion"
        assert set(result) - {"alone"} <= set(WORDS)
    assert np.allclose(list(counts.values()), 200, atol=40)


def test_a_word_is_never_replaced_by_itself():
    words = vocabulary(["No no no no maybe"])
    results = {with_word_errors("no", 1.0, words, 0, f"u{i}") for i in range(60)}
    assert "maybe" in results and not results & {"no", "No"}


def test_the_rate_of_two_transcripts_by_hand():
    # one substitution and one deletion in six words
    assert word_error_rate(["a b c d", "e f"], ["a x c d", "e"]) == pytest.approx(2 / 6)
    assert word_error_rate([""], [""]) == 0.0
