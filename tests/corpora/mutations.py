"""Damaged copies of a file: what disks, downloads and strangers make of it."""

import numpy as np


def mutated(content, count, seed=0):
    """`count` damaged versions of some bytes: cut, flipped, overwritten, repeated, with strange numbers put in."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        broken = bytearray(content)
        for _ in range(random.integers(1, 4)):
            size = len(broken)
            at = int(random.integers(size + 1))
            stretch = int(min(random.integers(1, 64), size - at))
            match random.integers(7):
                case 0:
                    del broken[at:]
                case 1:
                    del broken[at : at + stretch]
                case 2 if at < size:
                    broken[at] ^= 1 << int(random.integers(8))
                case 3:
                    broken[at : at + stretch] = random.bytes(stretch)
                case 4:
                    broken[at:at] = broken[at : at + stretch] * int(random.integers(1, 40))
                case 5:
                    broken[at : at + 8] = random.choice(_EXTREMES)
                case 6:
                    broken[at:at] = random.choice(_STRANGE)
        yield bytes(broken)


_EXTREMES = [b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", b"\x80" + b"\x00" * 7]
_STRANGE = [
    b"nan", b"-1e999", b"\xe2\x80\xa8", b"\xc3\x28", b"\x00", b"\r", b'"', b",,,,,", b"9" * 5000, b"___",
    "٣".encode(), b"[", b"\t", b"\n\n", b"../../", b"\xff\xfe",
]  # fmt: skip
