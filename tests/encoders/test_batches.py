"""Batches of like size, prefetched: nothing lost, nothing out of order, nothing left behind."""

import threading

import numpy as np
import pytest

from cmarr.encoders import batches
from cmarr.encoders.batches import Chunk, Prepared, in_batches
from cmarr.encoders.networks import spans
from cmarr.media.prefetch import prefetch
from cmarr.utterance import Rejected


def prepared(name, *sizes):
    """An utterance of one or more pieces, whose inputs are numbered rows."""
    firsts = np.cumsum([0, *sizes])
    pieces = [
        Chunk(np.arange(a, a + n, dtype=np.float32), n, slice(None))
        for a, n in zip(firsts, sizes, strict=False)
    ]
    return Prepared(name, pieces, np.arange(sum(sizes), dtype=np.float32))


class Network:
    """Gives every input back as one column, and remembers the sizes of its batches."""

    def __init__(self):
        self.batches = []

    def __call__(self, inputs):
        self.batches.append([len(values) for values in inputs])
        return [values[:, None] for values in inputs]


def run(items, network=None, **settings):
    return list(
        in_batches(items, network or Network(), **{"window": 4, "budget": 10, "threads": 2, **settings})
    )


def test_answers_are_in_order_and_pieces_are_joined():
    items = [prepared(str(i), *sizes) for i, sizes in enumerate([[3], [9, 2], [1], [5, 5, 5], [30], [2]])]
    items.insert(2, Rejected("bad", "s", "extract", "out of tune"))
    answers = run(items)
    assert [answer.id for answer in answers] == ["0", "1", "bad", "2", "3", "4", "5"]
    for answer in answers:
        if answer.id != "bad":
            np.testing.assert_array_equal(answer.frames[:, 0], answer.times)


def test_a_batch_holds_like_sizes_and_at_most_the_budget():
    network = Network()
    run([prepared(str(i), n) for i, n in enumerate([1, 5, 2, 4, 30, 3])], network, window=6, threads=1)
    assert network.batches == [[30], [5, 4], [3, 2, 1]]


def test_batches_stay_inside_windows_so_that_a_resumed_run_makes_the_same_ones():
    items = [prepared(str(i), 1 + i % 5) for i in range(12)]
    whole, rest = Network(), Network()
    run(items, whole, threads=1)
    run(items[4:], rest, threads=1)
    assert whole.batches[-len(rest.batches) :] == rest.batches


def test_what_would_fill_the_memory_is_not_gathered(monkeypatch):
    monkeypatch.setattr(batches, "HELD", 100)
    drawn = []

    def source():
        for i in range(40):
            drawn.append(i)
            yield prepared(str(i), 20)  # 80 bytes

    answers = in_batches(source(), Network(), window=8, budget=10, threads=1)
    next(answers)
    assert len(drawn) < 20
    assert len(list(answers)) == 39


def test_a_failing_network_ends_the_run():
    def broken(inputs):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run([prepared("a", 3)], broken)


def test_chunks_cover_everything_once():
    for total in (1, 9, 10, 11, 25, 100, 101):
        cut = spans(total, 10, 4)
        assert all(0 < last - first <= 10 for first, last, _ in cut)
        kept = [np.arange(first, last)[keep] for first, last, keep in cut]
        np.testing.assert_array_equal(np.concatenate(kept), np.arange(total))
        for first, last, keep in cut[1:-1]:
            assert keep.start >= 1 and keep.stop <= last - first - 1  # something is seen on both sides


def test_ahead_keeps_order_and_is_bounded():
    drawn = []
    items = prefetch((drawn.append(i) or i for i in range(10**9)), depth=3)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()
    assert len(drawn) <= 5 + 3 + 1
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_an_error_ahead_is_raised_where_the_items_are_used():
    def source():
        yield 1
        raise ValueError("no more")

    items = prefetch(source(), depth=3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_closing_closes_the_source():
    closed = []

    def source():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    items = prefetch(source(), depth=2)
    next(items)
    items.close()
    assert closed == [True]
