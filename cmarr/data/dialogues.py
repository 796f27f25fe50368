"""Which dialogue an utterance is of, and where in it: for methods that read the utterances before and behind."""

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmarr.utterance import Utterance


@dataclass(frozen=True)
class Dialogues:
    """Of N utterances, (N,) int64 each.

    number:   of its dialogue; the same number, the same dialogue
    position: its place in the dialogue, counted over all that the corpus has of it
    speaker:  which of the dialogue's speakers it is of, 0 the one who begins
    """

    number: Tensor
    position: Tensor
    speaker: Tensor

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, rows: Tensor | slice) -> "Dialogues":
        return Dialogues(self.number[rows], self.position[rows], self.speaker[rows])

    def to(self, device: torch.device | str) -> "Dialogues":
        """The same on another device."""
        return Dialogues(self.number.to(device), self.position.to(device), self.speaker.to(device))

    def side_by_side(self, count: int) -> "Dialogues":
        """`count` copies one after another, each with dialogues of its own.

        >>> one = Dialogues(torch.tensor([4, 4]), torch.tensor([0, 1]), torch.tensor([0, 1]))
        >>> one.side_by_side(2).number.tolist()
        [8, 8, 9, 9]
        """
        copy = torch.arange(count, device=self.number.device).repeat_interleave(len(self))
        return Dialogues(
            self.number.repeat(count) * count + copy,
            self.position.repeat(count),
            self.speaker.repeat(count),
        )


def dialogues_of(ids: Sequence[str], corpus: Iterable[Utterance]) -> Dialogues:
    """The dialogues of the utterances `ids` of a corpus; one that names none is a dialogue of its own.

    Utterances follow each other by when they start, where all of a dialogue say so, or else by the numbers in the ids.

    >>> turns = [Utterance(f"d_u{n}", dialogue="d", speaker="ab"[n % 2]) for n in (10, 9, 2)]
    >>> found = dialogues_of(["d_u10", "d_u2"], turns)
    >>> found.number.tolist(), found.position.tolist(), found.speaker.tolist()
    ([0, 0], [2, 0], [0, 0])
    """
    turns: dict[str, list[tuple[str, float | None, str]]] = {}  # id, start, speaker: the corpus may be large
    for u in corpus:
        # No name of a dialogue is the key of an utterance without one.
        key = f"dialogue {u.dialogue}" if u.dialogue else f"utterance {u.id}"
        turns.setdefault(key, []).append((u.id, u.start, u.speaker or ""))
    found: dict[str, tuple[int, int, int]] = {}
    for number, own in enumerate(turns.values()):
        timed = all(start is not None for _, start, _ in own)
        own.sort(key=lambda turn: (turn[1] or 0.0 if timed else 0.0, _numbers(turn[0])))
        speakers: dict[str, int] = {}
        for position, (id, _, who) in enumerate(own):
            found[id] = number, position, speakers.setdefault(who, len(speakers))
    columns = torch.tensor([found[i] for i in ids], dtype=torch.long).view(-1, 3).unbind(1)
    return Dialogues(*(column.contiguous() for column in columns))


def shuffled(dialogues: Dialogues, size: int, generator: torch.Generator) -> tuple[Tensor, list[int]]:
    """An order (N,) of the utterances in which dialogues stay whole, and the sizes of batches that do, too.

    The dialogues are shuffled; batches have about `size` utterances, more where one dialogue does.

    >>> three = Dialogues(torch.tensor([0, 1, 0, 2]), torch.tensor([1, 0, 0, 0]), torch.zeros(4).long())
    >>> order, sizes = shuffled(three, 2, torch.Generator().manual_seed(0))
    >>> sorted(sizes), order.sort().values.tolist()
    ([2, 2], [0, 1, 2, 3])
    """
    _, of, counts = dialogues.number.unique(return_inverse=True, return_counts=True)
    place = torch.randperm(len(counts), generator=generator)
    order = torch.argsort(place[of], stable=True)
    lengths = counts[place.argsort()]  # in the order of the shuffled dialogues
    parts = math.ceil(len(of) / size)
    begins = lengths.cumsum(0) - lengths
    batch = begins * parts // max(len(of), 1)
    sizes = torch.zeros(parts, dtype=torch.long).index_add(0, batch, lengths)
    return order, sizes[sizes > 0].tolist()


def undivided(dialogues: Dialogues, size: int) -> list[int]:
    """Sizes of parts of the utterances as they stand, `size` or a little more, that divide no dialogue.

    >>> undivided(Dialogues(torch.tensor([0, 0, 1, 2, 1, 3]), torch.zeros(6).long(), torch.zeros(6).long()), 1)
    [2, 3, 1]
    """
    numbers = dialogues.number.tolist()
    last = {number: row for row, number in enumerate(numbers)}
    ends: list[int] = []
    open_until = -1
    for row, number in enumerate(numbers):
        open_until = max(open_until, last[number])
        if open_until == row and row + 1 - (ends[-1] if ends else 0) >= size:
            ends.append(row + 1)
    if not ends or ends[-1] < len(numbers):
        ends.append(len(numbers))
    return [end - begin for begin, end in itertools.pairwise([0, *ends])]


def _numbers(id: str) -> tuple[list[int], str]:
    """An id as it is ordered: the numbers in it by their size, then its letters."""
    return [int(number) for number in re.findall(r"[0-9]+", id)], id
