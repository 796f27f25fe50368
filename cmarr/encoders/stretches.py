"""Long inputs in overlapping stretches, so that a network needs no more memory for an hour than for a minute."""

import itertools


def spans(total: int, longest: int, overlap: int) -> list[tuple[int, int, slice]]:
    """Cut 0 .. `total` into stretches of at most `longest` units: (start, stop, which of its units count).

    Stretches are equally long and overlap by about `overlap` units, half of which each of them keeps: every unit is
    seen with its surroundings on both sides, but for the beginning and the end.
    """
    if total <= longest:
        return [(0, total, slice(0, total))]
    number = -(-(total - overlap) // (longest - overlap))
    length = -(-(total + (number - 1) * overlap) // number)
    starts = [round(i * (total - length) / (number - 1)) for i in range(number)]
    borders = [(a + length + b) // 2 for a, b in itertools.pairwise(starts)]
    return [
        (start, start + length, slice(first - start, last - start))
        for start, first, last in zip(starts, [0, *borders], [*borders, total], strict=True)
    ]
