"""Readers of headers that stay between the tests of one module, so that their libraries are imported once."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cmarr.corpora.hdf5 import Reader
from cmarr.corpora.headers import Opener
from cmarr.media import worker_pool
from cmarr.media.worker_pool import IdleWorkers, keep_workers


@contextmanager
def standing_workers(count: int) -> Iterator[None]:
    """`count` of each kind; of the module's own, as other modules' workers start where its tests do not run."""
    kept = IdleWorkers()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker_pool, "IDLE", kept)
        patched.setattr(kept, "release", lambda *_: None)
        with keep_workers([Opener, Reader], count):
            yield
    kept.end()
