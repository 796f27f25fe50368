"""Small files that unpack to gigabytes, or take hours: each is refused at once, in a sentence, in a gigabyte.

Every bomb goes off in a worker that may take a gigabyte and half a minute, lest one that works takes the machine along:
what is refused takes seconds, also of a slow processor, and what works, hours.
"""

import os
import pickle
import struct
import zipfile
from dataclasses import dataclass
from itertools import pairwise

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from benchmarks.abuse.doors import (
    arrays,
    feature_table,
    ferplus,
    folder_with_manifest,
    heard,
    manifest,
    mmsa_corpus,
    pickled,
    settings,
    through,
    transcript,
    walk,
    windows,
)
from cmarr.errors import UserError
from cmarr.media.foreign import Budget, read_foreign

GIGABYTE = 2**30
BUDGET = Budget(seconds=30.0, memory=GIGABYTE, seconds_each=0, memory_each=0)
FIELD = 2**61 - 1
"""What Python takes the rest by to hash a number: multiples of it collide."""

BOMBS = {}


@dataclass(frozen=True)
class Bomb:
    """How a file is made, through which door it comes, and what is said of it."""

    make: object
    door: object
    says: str


def bomb(name, door, says, file):
    """A function that writes a bomb to the path it is given."""

    def enter(make):
        BOMBS[name] = file, Bomb(make, door, says)
        return make

    return enter


@bomb("a key of tuples of tuples", pickled, "as the key of a dictionary", "x.pkl")
def _(path):
    path.write_bytes(b"\x80\x02})" + b"2\x86" * 34 + b"K\x01s.")


@bomb("a set of tuples of tuples", pickled, "as the key of a dictionary", "x.pkl")
def _(path):
    path.write_bytes(b"\x80\x04\x8f()" + b"2\x86" * 34 + b"\x90.")


@bomb("an old set of tuples of tuples", pickled, "as the key of a dictionary", "x.pkl")
def _(path):
    path.write_bytes(b"\x80\x02c__builtin__\nset\n])" + b"2\x86" * 34 + b"a\x85R.")


@bomb("a frozen set of tuples of tuples", pickled, "as the key of a dictionary", "x.pkl")
def _(path):
    path.write_bytes(b"\x80\x04()" + b"2\x86" * 34 + b"\x91.")


@bomb("numbers that collide as keys", pickled, "neither text nor ordinary numbers", "x.pkl")
def _(path):
    path.write_bytes(pickle.dumps(dict.fromkeys(range(FIELD, 9000 * FIELD, FIELD)), 2))


@bomb("numbers that collide in a set", pickled, "neither text nor ordinary numbers", "x.pkl")
def _(path):
    path.write_bytes(pickle.dumps(set(range(FIELD, 9000 * FIELD, FIELD)), 4))


@bomb("numbers that collide in an old set", pickled, "neither text nor ordinary numbers", "x.pkl")
def _(path):
    path.write_bytes(pickle.dumps(set(range(FIELD, 9000 * FIELD, FIELD)), 2))


@bomb("one megabyte, copied again and again", pickled, "of memory to read", "x.pkl")
def _(path):
    copies = b"h\x01h\x02R" * 20_000
    content = b"B" + (10**6).to_bytes(4, "little") + bytes(10**6)
    path.write_bytes(b"\x80\x02(c__builtin__\nbytearray\nq\x01" + content + b"\x85q\x02" + copies + b"l.")


@bomb("a list of the same list, and so on", mmsa_corpus, "hold one another", "x.pkl")
def _(path):
    column = [1.0]
    for _ in range(45):
        column = [column, column]
    split = {"id": ["a$_$1"], "regression_labels": [1.0], "audio": [column]}
    path.write_bytes(pickle.dumps({"train": split}))


YAML = {
    "anchors": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
        "with what aliases repeat",
    ),
    "merged anchors": (
        "a0: &a0 {x: 1}\n"
        + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], y{i}: 1}}\n" for i in range(1, 9)),
        "with what aliases repeat",
    ),
    "brackets": ("a: " + "[" * 5000, "more than 50 deep"),
    "indents": ("".join(" " * i + "a:\n" for i in range(700)), "more than 50 deep"),
    "a long number": ("seed: " + "7" * 6000, "a number of 6000 characters"),
    "a number of sixties": ("%YAML 1.1\n---\nseed: 1" + ":59" * 200_000, "a number of 600001 characters"),
    "many keys": ("a: 1\n" * 30_000, "more than 20000 values"),
    "a large file": ("#\n" * 600_000, "too much for a file of settings"),
    "half a character": ('a: "\\ud800"', "a NUL or half a character"),
    "no date": ("a: 2001-99-99", "is not valid YAML"),
}
for _name, (_text, _says) in YAML.items():
    bomb(_name, settings, _says, "params.yaml")(lambda path, text=_text: path.write_text(text))


@bomb("millions of rows", manifest, "5,000,000 rows, more than", "manifest.parquet")
def _(path):
    pq.write_table(pa.table({"id": pa.array(["a"]).take(pa.array(np.zeros(5_000_000, int)))}), path)


@bomb("millions of rows of features", arrays, "unpacks from .* MB", "x.parquet")
def _(path):
    rows = np.zeros(5_000_000)
    pq.write_table(pa.table({"id": rows, "f": rows}), path)


@bomb("a cell of many megabytes", manifest, "unpacks from .* MB", "manifest.parquet")
def _(path):
    pq.write_table(pa.table({"id": ["x" * 80_000_000]}), path, compression="zstd", use_dictionary=False)


@bomb("a cell in every row", manifest, "of memory to read", "manifest.parquet")
def _(path):
    word = pa.DictionaryArray.from_arrays(pa.array([0] * 300), pa.array(["y" * 5_000_000]))
    pq.write_table(pa.table({"id": [f"u{i}" for i in range(300)], "text": word}), path, compression="zstd")


@bomb("a long cell", manifest, "a cell of the column text has 20,000,000 letters", "manifest.parquet")
def _(path):
    pq.write_table(pa.table({"id": ["a"], "text": ["y" * 20_000_000]}), path, compression="zstd")


@bomb("too many columns", feature_table, "20,001 columns, more than", "utterances.parquet")
def _(path):
    one = pa.array([1])
    pq.write_table(pa.table([one] * 20_001, [f"c{i}" for i in range(20_001)]), path)


@bomb("a long cell of a CSV table", manifest, "larger than field limit", "manifest.csv")
def _(path):
    path.write_text('id,text\na,"' + "y" * 2_000_000 + '"\n')


@bomb("a table without an end", folder_with_manifest, "is a pipe or a device", "manifest.csv")
def _(path):
    path.symlink_to("/dev/zero")


@bomb("a table that nobody writes", folder_with_manifest, "is a pipe or a device", "manifest.csv")
def _(path):
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


@bomb("a transcript without an end", transcript, "has more than 67.1 MB, too much", "x.txt")
def _(path):
    path.symlink_to("/dev/zero")


@bomb("folders that link to folders", walk, "links to folders that hold links", "f0/x")
def _(path):
    folders = [path.parents[1] / f"f{i}" for i in range(23)]
    for folder, below in pairwise(folders):
        folder.mkdir()
        for name in "ab":
            (folder / name).symlink_to(below)
    folders[-1].mkdir()


@bomb("captions in windows that overlap", windows, "would repeat its transcript", "x.srt")
def _(path):
    times = (f"0:{i // 6000}:{i // 100 % 60:02},{i % 100 * 10:03}" for i in range(25_000))
    path.write_text("".join(f"1\n{time} --> 1:00:00,000\nhi\n\n" for time in times))


def npy_header(shape, kind="<f8"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(path, name, content, declared=0):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        member.write(content)
        for _ in range(declared >> 20):
            member.write(bytes(1 << 20))


def with_a_hole(path, content, size):
    """A file that says it has `size` bytes, of which those of `content` alone are there."""
    path.write_bytes(content)
    os.truncate(path, size)


@bomb("an array of holes", arrays, "unpacks from .* MB", "x.npy")
def _(path):
    with_a_hole(path, head := npy_header((1, 2**13, 2**13)), len(head) + 2**29)


@bomb("a pickle of holes", pickled, "of memory to read", "x.pkl")
def _(path):
    with_a_hole(path, b"\x80\x04\x8e" + struct.pack("<Q", 2**34), 2**35)


@bomb("a table of holes", manifest, "unpacks from .* MB", "x.csv")
def _(path):
    with_a_hole(path, b"id,text\n", 200 << 20)


@bomb("a sound of holes", heard, "more than sound does", "x.wav")
def _(path):
    soundfile.write(path, np.zeros(16), 16_000, subtype="FLOAT")
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 2**31)
    with_a_hole(path, bytes(content), 2**31)


@bomb("an id in every row of features", arrays, "of memory to read|letters, more than", "x.parquet")
def _(path):
    word = pa.DictionaryArray.from_arrays(pa.array([0] * 300), pa.array(["y" * 5_000_000]))
    pq.write_table(pa.table({"id": word, "f": np.zeros(300)}), path, compression="zstd")


@bomb("an array of 10^12 numbers", arrays, "no whole .npy file", "x.npy")
def _(path):
    path.write_bytes(npy_header((10**6, 10**6)) + bytes(64))


@bomb("an array without columns", arrays, "D at least 1", "x.npy")
def _(path):
    path.write_bytes(npy_header((1, 10**12, 0)))


@bomb("an array of 10^12 numbers, zipped", arrays, "claims the shape", "x.npz")
def _(path):
    zipped(path, "all.npy", npy_header((1, 10**6, 10**6)))


@bomb("an array of zeros, zipped", arrays, "unpacks from .* MB", "x.npz")
def _(path):
    zipped(path, "a.npy", npy_header((2**17, 300)), 300 << 20)


@bomb("a dataset that nobody wrote", arrays, "lies there in 0 bytes", "x.h5")
def _(path):
    with h5py.File(path, "w") as opened:
        opened.create_dataset("a", shape=(2**14, 2**11), dtype="f8", chunks=(16, 2**11))


@bomb("a dataset of zeros", arrays, "and lies there in", "x.h5")
def _(path):
    with h5py.File(path, "w") as opened:
        opened.create_dataset("a", data=np.zeros((2**14, 600)), chunks=(2**12, 600), compression="gzip")


@bomb("a dataset of large pieces", arrays, "claims the shape", "x.h5")
def _(path):
    with h5py.File(path, "w") as opened:
        opened.create_dataset("a", shape=(1, 8), maxshape=(None, 8), dtype="f8", chunks=(2**26, 8))


@bomb("labels of faces, zipped", ferplus, "label.csv unpacks to 104,857,600 bytes", "FER2013Test.zip")
def _(path):
    zipped(path, "label.csv", b"", 100 << 20)


@bomb("a picture of 10^10 pixels", ferplus, "100000 x 100000 pixels", "FER2013Test.zip")
def _(path):
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">2I5B", 10**5, 10**5, 8, 0, 0, 0, 0)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("label.csv", 'a.png,"(0, 0, 48, 48)",' + ",".join("1" * 10) + "\n")
        archive.writestr("a.png", head)


@bomb("a day of silence", heard, "more than sound does", "x.flac")
def _(path):
    with soundfile.SoundFile(path, "w", 48_000, 8, format="FLAC", subtype="PCM_16") as file:
        for _ in range(10):
            file.write(np.zeros((2**20, 8), np.int16))


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(tmp_path, name):
    file, wanted = BOMBS[name]
    wanted.make(tmp_path / file)
    with pytest.raises(UserError, match=wanted.says) as refused:
        read_foreign(through, tmp_path, file, wanted.door, budget=BUDGET)
    assert "its reader gave up" not in str(refused.value)
    assert file in str(refused.value) or wanted.door in (walk, windows)
