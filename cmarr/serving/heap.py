"""Memory of the process that answers: what a request took goes back to the system when it has been answered."""

import contextlib
import ctypes
import gc

LARGE = 1 << 20
"""Bytes of a block from which on it comes from the system, and goes back to it as soon as it is free."""

HEAPS = 2
"""Heaps that all threads share."""

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8


def keep_small() -> None:
    """Keep the C library from hoarding; before threads begin.

    Left alone it takes ever larger blocks, up to 32 MB, from heaps of which each thread has one of its own: free, they
    lie between small ones that live, and stay. After eight clients with media and large bodies, of 543 MB on the heap
    331 were free and could not be given back; so it is none.
    """
    with contextlib.suppress(OSError, AttributeError):  # where there is no glibc
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGE)
        library.mallopt(_ARENA_MAX, HEAPS)


def give_back() -> None:
    """Of a large body millions of small values may have been made, whose memory the C library would keep."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # where there is no glibc
        ctypes.CDLL(None).malloc_trim(0)
