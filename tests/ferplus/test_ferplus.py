"""The real FER+: what it is known to hold."""

from pathlib import Path

import numpy as np
import pytest

from cmarr.ferplus.reader import read_part
from cmarr.ferplus.votes import has_majority, is_tied, label

FERPLUS = Path(__file__).parents[2] / "../shared/data/ferplus"


@pytest.mark.skipif(not FERPLUS.is_dir(), reason="FER+ is not at ../shared/data/ferplus")
def test_the_faces_of_the_test_part():
    test = read_part(FERPLUS, "test")
    real = test.real()
    assert (len(test), len(real)) == (3573, 3512)
    assert np.bincount(label(real.votes)).tolist() == [1255, 916, 441, 441, 316, 21, 92, 30]
    assert int(has_majority(test.votes).sum()) == 3137  # as in the papers that score it
    assert int(is_tied(real.votes).sum()) == 165
