"""Utterances through a network in batches of like size, while the next ones are read."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from cmarr.encoders.networks import like_sized
from cmarr.media.prefetch import prefetch
from cmarr.utterance import FeatureSequence, Rejected

HELD = 1 << 28
"""Bytes of input after which a window is closed early: very long utterances must not fill the memory."""

Network = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
"""Inputs of several chunks -> the rows (size, D) of each, float32."""


@dataclass(frozen=True)
class Chunk:
    """What a network reads in one go: it gives `size` rows, of which those in `keep` count."""

    inputs: np.ndarray
    size: int
    keep: slice


@dataclass(frozen=True)
class Prepared:
    """An utterance ready for the network: its chunks, whose kept rows follow one another at `times` (T,) seconds.

    notes: what is odd about it, see `FeatureSequence`
    """

    id: str
    chunks: Sequence[Chunk]
    times: np.ndarray
    notes: tuple[str, ...] = ()


Ready = Prepared | Rejected
Result = FeatureSequence | Rejected


def in_batches(
    prepared: Iterable[Ready], network: Network, *, window: int, budget: int, threads: int
) -> Iterator[Result]:
    """One result a prepared utterance, in order.

    `window` utterances at a time are sorted by length and cut into batches of at most `budget` rows, padding included
    (a longer chunk goes alone). Batches run side by side in `threads` threads that use one core each, so that sums
    are the same whatever their number; the next window is read meanwhile. What waits is bounded by two windows.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        threads, thread_name_prefix="network", initializer=torch.set_num_threads, initargs=(1,)
    )
    under_way: deque[_Window] = deque()
    source = prefetch(prepared, window)
    try:
        for group in _windows(source, window):
            under_way.append(_Window(group, network, budget, pool))
            if len(under_way) > 1:
                yield from under_way.popleft().results()
        while under_way:
            yield from under_way.popleft().results()
    finally:
        source.close()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)  # it is a setting of the process as well as of the thread


class _Window:
    """The utterances of one window, and their batches in the pool."""

    def __init__(self, group: Sequence[Ready], network: Network, budget: int, pool: ThreadPoolExecutor):
        self.group = group
        chunks = [
            (ready.id, number, chunk)
            for ready in group
            if isinstance(ready, Prepared)
            for number, chunk in enumerate(ready.chunks)
        ]
        self.futures: list[tuple[list[tuple[str, int, slice]], Future[Sequence[np.ndarray]]]] = []
        for batch in like_sized([chunk.size for _, _, chunk in chunks], budget):
            places = [(name, number, chunk.keep) for name, number, chunk in (chunks[i] for i in batch)]
            self.futures.append((places, pool.submit(network, [chunks[i][2].inputs for i in batch])))

    def results(self) -> Iterator[Result]:
        rows: dict[tuple[str, int], np.ndarray] = {}
        for places, future in self.futures:
            for (name, number, keep), given in zip(places, future.result(), strict=True):
                rows[name, number] = given[keep]
        for ready in self.group:
            if isinstance(ready, Rejected):
                yield ready
            else:
                parts = [rows.pop((ready.id, number)) for number in range(len(ready.chunks))]
                yield FeatureSequence(ready.id, np.concatenate(parts), ready.times, ready.notes)


def _windows(prepared: Iterator[Ready], size: int) -> Iterator[list[Ready]]:
    """Windows of `size`; one that would hold too much is cut, and the next begins where it would have begun anyway."""
    while head := list(itertools.islice(prepared, 1)):
        group: list[Ready] = []
        held = 0
        for ready in itertools.chain(head, itertools.islice(prepared, size - 1)):
            group.append(ready)
            held += sum(p.inputs.nbytes for p in ready.chunks) if isinstance(ready, Prepared) else 0
            if held > HELD:
                yield group
                group, held = [], 0
        if group:
            yield group
