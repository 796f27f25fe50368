"""Workers that stay between the tests of one module, so that their libraries are imported once."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cmarr.corpora.hdf5 import Reader
from cmarr.corpora.headers import Opener
from cmarr.media import worker_pool
from cmarr.media.foreign import Foreign
from cmarr.media.worker_pool import IdleWorkers


@contextmanager
def standing_workers(count: int) -> Iterator[None]:
    """Up to `count` readers of headers, of HDF5 and of other foreign files, each begun when it is first needed.

    They are the module's own, as other modules' workers start where its tests do not run.
    """
    kept = IdleWorkers()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker_pool, "IDLE", kept)
        for kind in (Opener, Reader, Foreign):
            kept.keep(pickle.dumps(kind), count)
        yield
    kept.end()
