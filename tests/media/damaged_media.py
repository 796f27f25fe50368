"""Damaged media files: good ones of every kind, with bytes changed, cut out, doubled, or lost at the end."""

import numpy as np
import soundfile
from recordings import face, tone, write_compressed, write_video


def _wav(path):
    soundfile.write(path, tone(440, 0.5), 16_000)


def _flac(path):
    soundfile.write(path, tone(440, 0.5, 44_100), 44_100)


def _mp3(path):
    write_compressed(path, tone(440, 0.5, 44_100), 44_100, "libmp3lame")


def _m4a(path):
    write_compressed(path, tone(440, 0.5, 44_100), 44_100, "aac")


def _avi(path):
    write_video(path, [face(x=70 + i) for i in range(8)], codec="mpeg4")


def _mp4(path):
    write_video(path, [face(x=70 + i) for i in range(8)])


KINDS = {
    "wav": ("audio", _wav),
    "flac": ("audio", _flac),
    "mp3": ("audio", _mp3),
    "m4a": ("audio", _m4a),
    "avi": ("video", _avi),
    "mp4": ("video", _mp4),
}
"""Kind -> what is read from it, and how a good one is written."""


def seeds(kind, folder):
    """The bytes of a good file."""
    path = folder / f"seed.{kind}"
    KINDS[kind][1](path)
    return path.read_bytes()


def mutated(kind, good, folder, count, seed=0):
    """Write `count` damaged files; returns their paths."""
    rng = np.random.default_rng([seed, *kind.encode()])
    paths = []
    for i in range(count):
        content = bytearray(good)
        for _ in range(rng.integers(1, 5)):
            _damage(content, rng)
        path = folder / f"{i:04d}.{kind}"
        path.write_bytes(content)
        paths.append(path)
    return paths


ABSURD = (b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0")
"""Numbers of four bytes: the largest, of either order and sign, and none."""


def hostile(folder, count, seed=0):
    """`count` files of every kind: damaged, cut off, under another kind's ending, empty, with absurd headers."""
    rng = np.random.default_rng([seed, count])
    each = -(-count // len(KINDS))
    paths = []
    for kind in KINDS:
        place = folder / kind
        place.mkdir()
        paths.append(mutated(kind, seeds(kind, folder), place, each, seed))
    mixed = [path for group in zip(*paths, strict=True) for path in group][:count]
    kinds = list(KINDS)
    for number, path in enumerate(mixed):
        match number % 10:
            case 7:
                mixed[number] = path.rename(path.with_suffix(f".{kinds[rng.integers(len(kinds))]}"))
            case 8:
                path.write_bytes(
                    path.read_bytes()[: int(rng.integers(0, 40))]
                )  # nothing, or a part of a header
            case 9:
                content = bytearray(path.read_bytes())
                for place in range(4, min(len(content), 120), 4):  # numbers of four bytes, of either order
                    if rng.random() < 0.2:
                        content[place : place + 4] = ABSURD[rng.integers(len(ABSURD))]
                path.write_bytes(content)
    return mixed


def _damage(content, rng):
    # Half of the damage goes to the first 200 bytes, where the headers are.
    place = int(rng.integers(0, min(200, len(content)) if rng.random() < 0.5 else len(content)))
    length = int(rng.integers(1, 64))
    match rng.integers(0, 6):
        case 0:
            content[place] ^= 1 << int(rng.integers(0, 8))
        case 1:
            content[place : place + length] = rng.bytes(length)
        case 2:
            content[place : place + length] = b"\xff" * length
        case 3:
            del content[place : place + length]
        case 4:
            content[place:place] = content[place : place + length]
        case 5:
            del content[max(place, 16) :]
    if not content:
        content.extend(b"\x00")
