"""Dialogues: whose utterance is which, in what order, and batches that keep them whole."""

import random
from dataclasses import replace

import pytest
import torch

from cmarr.data.dialogues import Dialogues, dialogues_of, shuffled, undivided
from cmarr.data.load import load_store
from cmarr.features.shards import FeatureTable
from cmarr.task import Task
from cmarr.utterance import Utterance


def numbered(*numbers: int) -> Dialogues:
    return Dialogues(
        torch.tensor(numbers), torch.arange(len(numbers)), torch.zeros(len(numbers), dtype=torch.long)
    )


class TestOrder:
    def test_utterances_follow_each_other_by_their_time(self):
        turns = [Utterance("d_F1", dialogue="d", start=9.0), Utterance("d_M0", dialogue="d", start=2.0)]
        assert dialogues_of(["d_F1", "d_M0"], turns).position.tolist() == [1, 0]

    def test_or_by_their_numbers_where_one_says_no_time(self):
        turns = [Utterance(f"d_u{n}", dialogue="d", start=None if n == 3 else 99.0 - n) for n in (20, 3, 100)]
        assert dialogues_of([u.id for u in turns], turns).position.tolist() == [1, 0, 2]

    def test_turns_that_two_actors_count_for_themselves_stand_in_turns(self):
        ids = ["Ses01F_impro01_F000", "Ses01F_impro01_F001", "Ses01F_impro01_M000", "Ses01F_impro01_M001"]
        turns = [Utterance(i, dialogue="Ses01F_impro01") for i in ids]
        assert dialogues_of(ids, turns).position.tolist() == [0, 2, 1, 3]

    def test_a_place_is_counted_over_all_that_the_corpus_has(self):
        turns = [Utterance(f"d_u{n}", dialogue="d") for n in range(5)]
        assert dialogues_of(["d_u4", "d_u1"], turns).position.tolist() == [4, 1]

    def test_speakers_are_numbered_by_their_first_turn_within_their_dialogue(self):
        said = [("a", "Rachel"), ("a", "Ross"), ("a", "Rachel"), ("b", "Ross"), ("b", None)]
        turns = [Utterance(f"{d}_u{n}", dialogue=d, speaker=who) for n, (d, who) in enumerate(said)]
        assert dialogues_of([u.id for u in turns], turns).speaker.tolist() == [0, 1, 0, 0, 1]

    def test_without_a_dialogue_each_is_one_by_itself(self):
        turns = [Utterance("x"), Utterance("y", dialogue="x"), Utterance("z")]
        found = dialogues_of(["x", "y", "z"], turns)
        assert len(found.number.unique()) == 3
        assert found.position.tolist() == [0, 0, 0]


class TestBatches:
    @pytest.mark.parametrize("seed", range(20))
    def test_shuffled_ones_are_whole_and_about_as_large_as_asked(self, seed):
        draw = random.Random(seed)
        numbers = [n for n in range(draw.randint(1, 12)) for _ in range(draw.randint(1, 9))]
        draw.shuffle(numbers)
        dialogues, size = numbered(*numbers), draw.randint(1, 20)
        order, sizes = shuffled(dialogues, size, torch.Generator().manual_seed(seed))
        assert sorted(order.tolist()) == list(range(len(numbers)))
        assert sum(sizes) == len(numbers)
        parts = [set(dialogues.number[rows].tolist()) for rows in order.split(sizes)]
        assert sum(map(len, parts)) == len(set(numbers))  # none is in two
        assert max(sizes) <= size + 9

    def test_another_epoch_has_another_order(self):
        generator = torch.Generator().manual_seed(0)
        dialogues = numbered(*(n for n in range(20) for _ in range(3)))
        first, second = (shuffled(dialogues, 6, generator)[0] for _ in range(2))
        assert not torch.equal(first, second)

    @pytest.mark.parametrize(
        ("numbers", "size", "sizes"),
        [
            ((0, 0, 1, 1, 2, 2), 2, [2, 2, 2]),
            ((0, 0, 0, 1, 2), 2, [3, 2]),
            ((0, 1, 2, 0), 1, [4]),
            ((0, 1, 2), 2, [2, 1]),
        ],
    )
    def test_parts_in_their_order_divide_none(self, numbers, size, sizes):
        assert undivided(numbered(*numbers), size) == sizes


def test_a_store_knows_the_dialogues_of_its_batches():
    turns = {
        f"d{d}_u{n}": Utterance(f"d{d}_u{n}", dialogue=f"d{d}", label="x") for d in (1, 2) for n in (1, 2)
    }
    features = {"s": FeatureTable(list(turns), torch.zeros(4, 1).half().numpy(), torch.arange(5).numpy())}
    store = load_store(["d2_u2", "d1_u1", "d2_u1"], turns, features, Task(("x", "y")))
    batch = store.batch(torch.tensor([2, 0]))
    assert batch.dialogues.position.tolist() == [0, 1]
    assert len(batch.dialogues.number.unique()) == 1
    assert replace(store, dialogues=None).batch(torch.tensor([0])).dialogues is None
