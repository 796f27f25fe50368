"""Published counts, and what stands beside them."""

from cmarr.corpora.expected import UNLABELLED, UTTERANCES, Published, beside, counted
from cmarr.utterance import Utterance

FOUND = [
    Utterance("a", label="happy", session="1"),
    Utterance("b", label="excited", session="1"),
    Utterance("c", label="sad", session="2"),
    Utterance("d", session="2"),
]


def test_a_key_is_a_label_several_or_none():
    assert counted(FOUND, "happy") == 1
    assert counted(FOUND, "happy+excited") == 2
    assert counted(FOUND, UNLABELLED) == 1
    assert counted(FOUND, f"sad+{UNLABELLED}") == 2
    assert counted(FOUND, UTTERANCES) == 4
    assert counted(FOUND, "angry") == 0


def test_counts_stand_beside_the_published_ones():
    published = Published("Tiny", {"happy+excited": 5, UTTERANCES: 9}, "session", {"1": {"sad": 1}})
    assert beside(FOUND, published) == "Tiny: happy+excited 2 of 5, utterances 4 of 9"
    assert [u.id for u in published.group(FOUND, "2")] == ["c", "d"]
