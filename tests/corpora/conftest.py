"""The miniature corpora get a name to be imported by, as worker processes and other folders need one."""

import sys
from pathlib import Path

import pytest

from tests.standing_workers import standing_workers

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="module", autouse=True)
def workers_that_stay():
    with standing_workers(1):
        yield
