"""A pickle is untrusted: plain arrays come out, everything else is refused, and nothing runs."""

import collections
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cmarr.corpora.pickles import load_pickle
from cmarr.errors import UserError


def save(folder, value, protocol=4):
    path = folder / "features.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


class Calls:
    """Pickles as: when loaded, call `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([[1, -2]], np.int64),
        np.array([1.5, -np.inf], ">f8"),
        np.array(["vidéo$_$1", "b"]),
        np.array([b"ab", b"c"]),
        np.array([True, False]),
        np.array(["text", None, 2.5, [1, 2]], object),
        np.empty((0, 50, 5), np.float16),
        np.array(3.0),
    ],
    ids=lambda a: f"{a.dtype.str}{a.shape}",
)
def test_arrays_come_back_as_they_were(tmp_path, array, protocol):
    loaded = load_pickle(save(tmp_path, {"audio": array}, protocol))["audio"]
    assert loaded.dtype == array.dtype and loaded.shape == array.shape
    assert loaded.tolist() == array.tolist()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_and_scalars_come_back_as_they_were(tmp_path, protocol):
    value = {
        "id": ["a$_$1"],
        "lengths": (1, 2, 10**20),
        "set": {1, 2},
        "frozen": frozenset({"x"}),
        "bytes": b"\xff\x00",
        "no bytes": b"",
        "buffer": bytearray(b"ab"),
        "ordered": collections.OrderedDict(a=np.float32(1.5)),
        "scalar": np.int64(7),
        "word": np.str_("ab"),
        "none": None,
        (1, "key"): True,
    }
    assert load_pickle(save(tmp_path, value, protocol)) == value


def test_both_module_paths_of_numpy_are_known(tmp_path):
    content = pickle.dumps(np.arange(3.0), 3)
    assert b"numpy._core.multiarray" in content or b"numpy.core.multiarray" in content
    new = content.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for written in (new, old):
        path = tmp_path / "features.pkl"
        path.write_bytes(written)
        assert load_pickle(path).tolist() == [0.0, 1.0, 2.0]


def test_a_list_in_several_places_comes_back_as_one(tmp_path):
    row = [np.float64(1)]
    loaded = load_pickle(save(tmp_path, {"train": [row, row], "test": (row,)}))
    assert loaded["train"][0] is loaded["train"][1] is loaded["test"][0]


def doubled(times):
    level = [np.float64(1)]
    for _ in range(times):
        level = [level, level]  # 2**times paths, times + 1 lists
    return level


def objects(element):
    array = np.empty(1, object)
    array[0] = element  # numpy would go through a list that it is given
    return array


def within_itself():
    level = [1.0]
    level[0] = level
    return level


@pytest.mark.parametrize(
    "value",
    [
        doubled(40),
        (doubled(23),),
        {"train": within_itself()},
        objects(doubled(30)),
    ],
    ids=["lists", "a tuple of lists", "a list within itself", "an object array"],
)
def test_lists_that_stand_for_more_values_than_memory_does_are_refused(tmp_path, value):
    with pytest.raises(UserError, match="lists in it hold one another"):
        load_pickle(save(tmp_path, value))


HOSTILE = {
    "os.system": lambda marker: Calls(os.system, f"touch {marker}"),
    "eval": lambda marker: Calls(eval, f"open({str(marker)!r}, 'w')"),
    "exec": lambda marker: Calls(exec, f"open({str(marker)!r}, 'w')"),
    "open": lambda marker: Calls(open, str(marker), "w"),
    "Path.touch": lambda marker: Calls(Path.touch, marker),
    "in a list in a dict": lambda marker: {"train": {"id": [Calls(os.system, f"touch {marker}")]}},
    "as a key": lambda marker: {Calls(os.system, f"touch {marker}"): 1},
    "in an object array": lambda marker: np.array([Calls(os.system, f"touch {marker}"), 1], object),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_code_in_a_pickle_does_not_run(tmp_path, make):
    marker = tmp_path / "marker"
    path = save(tmp_path, make(marker))
    with pytest.raises(UserError, match=r"asks for .*refused and nothing was executed"):
        load_pickle(path)
    assert not marker.exists()


def test_the_hostile_pickles_would_run_in_an_ordinary_loader(tmp_path):
    pickle.loads(pickle.dumps(HOSTILE["os.system"](tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


RAW = {
    "getattr": b"cbuiltins\ngetattr\n(cos\npath\nVsystem\ntR.",
    "a dotted name through an allowed module": b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
    "a chain of attributes": b"\x80\x04\x8c\x05numpy\x8c\x13dtype.__class__.mro\x93.",
    "reconstruct with another type": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntVb\ntR.",
    "reconstruct with a huge shape": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I9999999999\ntVb\ntR.",
    "a record with an object inside": b"cnumpy\ndtype\n(VV8\nI00\nI01\ntR.",
    "a type that is code": b"cnumpy\ndtype\n(Vf4,O\nI00\nI01\ntR.",
    "a function as data": b"cnumpy\ndtype\n.",
    "numpy as data": b"cnumpy\nndarray\n.",
    "attributes set on a function": b"cnumpy\ndtype\n(N}Va\nI1\nstb.",
    "slots set on a function": b"cnumpy\ndtype\n(N}V_make\nI1\nstb.",
    "a codec that is not latin1": b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
    "an extension code": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pname\n.",
    "a false length": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",
    "a false length of a byte array": b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"abc.",
    "a false frame": b"\x80\x04\x95" + struct.pack("<Q", 2**61) + b"N.",
    "nothing": b"",
    "text": b"id,text\n1,hello\n",
    "a list too deep": b"]" * 1000 + b"a" * 999 + b".",
}


@pytest.mark.parametrize("content", RAW.values(), ids=RAW.keys())
def test_malformed_pickles_are_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "features.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"features.pkl") as caught:
        load_pickle(path)
    assert "nothing" in str(caught.value) and "executed" in str(caught.value)


def test_a_false_memo_index_takes_no_memory(tmp_path):
    path = tmp_path / "features.pkl"
    path.write_bytes(b"\x80\x02K\x01r\xfe\xff\xff\xff.")  # the C unpickler would take 64 GB for this index
    assert load_pickle(path) == 1


def test_a_false_length_takes_no_memory(tmp_path):
    path = tmp_path / "features.pkl"
    path.write_bytes(b"\x80\x05\x96" + struct.pack("<Q", 2**31) + b"abc.")
    tracemalloc.start()
    with pytest.raises(UserError, match="a length in it is false"):
        load_pickle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_array_parts_that_contradict_each_other_are_refused(tmp_path):
    whole = pickle.dumps(np.arange(4, dtype=np.float32).reshape(2, 2), 2)
    for good, bad in ((b"K\x02K\x02", b"K\x02K\x7f"), (b"X\x02\x00\x00\x00f4", b"X\x02\x00\x00\x00f8")):
        assert good in whole
        path = tmp_path / "features.pkl"
        path.write_bytes(whole.replace(good, bad))
        with pytest.raises(UserError, match="does not have"):
            load_pickle(path)


def test_a_pickle_cut_off_anywhere_is_refused(tmp_path):
    whole = pickle.dumps({"audio": np.arange(4.0), "id": ["a", "b"]}, 4)
    path = tmp_path / "features.pkl"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError):
            load_pickle(path)


def test_any_flipped_byte_is_read_or_refused(tmp_path):
    whole = bytearray(pickle.dumps({"audio": np.arange(4.0), "id": np.array(["a", None], object)}, 4))
    path = tmp_path / "features.pkl"
    generator = np.random.default_rng(0)
    for place in range(len(whole)):
        mutated = whole.copy()
        mutated[place] = generator.integers(256)
        path.write_bytes(mutated)
        try:
            load_pickle(path)
        except UserError:
            continue


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent.pkl cannot be opened"):
        load_pickle(tmp_path / "absent.pkl")
