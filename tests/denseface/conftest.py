"""A FER+ of a few faces, and tests/ferplus's miniature under its name."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from miniature import faces, write_zip

from denseface.ferplus import ARCHIVES


@pytest.fixture
def ferplus(tmp_path):
    """Folder with the three zip files: 24, 8 and 8 faces."""
    for number, (part, count) in enumerate((("train", 24), ("valid", 8), ("test", 8))):
        write_zip(tmp_path / f"{ARCHIVES[part]}.zip", faces(count, seed=number))
    return tmp_path
