"""Settings of Denseface's training that do not go together."""

import re
from pathlib import Path

import pytest

from cmarr.errors import UserError
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve

ROOT = Path(__file__).parents[2]
SIDES = "  - 32\n  - 48\n  - 64\n"
SHARES = "  - 0.6\n  - 0.25\n  - 0.15\n"


def settings(tmp_path, old, new):
    text = (ROOT / "params.yaml").read_text()
    assert text.count(old) == 1
    (tmp_path / "params.yaml").write_text(text.replace(old, new))
    return resolve(load_settings(tmp_path / "params.yaml", ROOT / "presets"))["denseface"]


def test_the_course_reaches_the_training_as_it_is_written(tmp_path):
    given = settings(tmp_path, SIDES, "  - 24\n  - 40\n  - 64\n")
    assert list(given["sides"]) == [24, 40, 64] and list(given["restarts"]) == [12]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  - 12\n  sides", "  - 60\n  sides", "restarts must rise and stay below epochs = 60, not be [60]"),
        ("  - 12\n  sides", "  - 12\n  - 12\n  sides", "restarts must rise and stay below epochs"),
        (SIDES, "  - 64\n  - 48\n  - 32\n", "sides must end with 64, the size that Denseface is used at, not with 32"),
        (SHARES, "  - 0.6\n  - 0.4\n", "side_shares must be 3 shares, one a side, that add up to 1"),
        (SHARES, "  - 0.6\n  - 0.3\n  - 0.3\n", "side_shares must be 3 shares"),
        (SIDES, "  - 8\n  - 48\n  - 64\n", "ferplus.sides.0: input should be greater than or equal to 16"),
    ],
)  # fmt: skip
def test_a_course_that_cannot_be_is_refused(tmp_path, old, new, told):
    with pytest.raises(UserError, match=re.escape(told)):
        settings(tmp_path, old, new)
