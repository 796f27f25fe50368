"""docs/protocols.md: every protocol is in its table, and the one it adds works as it is written there."""

import re
from pathlib import Path

import numpy as np

from cmarr.masks.draw import generator
from cmarr.masks.protocols import CHOICES, UNBALANCED

PAGE = (Path(__file__).parents[2] / "docs/protocols.md").read_text(encoding="utf-8")


def test_the_table_names_every_protocol():
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == CHOICES
    assert all(f"`{name}`" in PAGE for name in UNBALANCED.values())


def test_what_it_says_to_edit_is_there():
    root = Path(__file__).parents[2]
    for path in re.findall(r"`((?:cmarr|tests)/[\w/]+\.py)`", PAGE):
        assert (root / path).is_file(), path
    protocols, draw = ((root / f"cmarr/masks/{name}.py").read_text() for name in ("protocols", "draw"))
    assert "\nCELLS = (" in protocols
    assert "\nMASKED = (" in protocols
    assert "\ndef _cells(" in draw
    assert "\ndef _rule(" in draw


def test_its_example_does_what_it_says():
    space: dict = {"np": np}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], space)
    available = np.random.default_rng(0).random((300, 3)) > 0.2
    lengths = np.random.default_rng(1).integers(1, 50, (300, 3))
    usable = space["hide_longest"](available, lengths, 0.4, generator(0, "longest"))
    lost = available & ~usable
    assert lost.sum() == 120
    assert (lost.sum(1) <= 1).all()
    np.testing.assert_array_equal(usable.any(1), available.any(1))
    rows = np.flatnonzero(lost.any(1))
    longest = np.where(available, lengths, -1)[rows]
    np.testing.assert_array_equal(longest[lost[rows]], longest.max(1))
