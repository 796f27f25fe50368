"""HDF5 files are read in a process of their own, and nothing outside of them is."""

import h5py
import numpy as np
import pytest

from cmarr.corpora.hdf5 import LARGEST, list_datasets, read_datasets
from cmarr.errors import UserError
from cmarr.media.clips import Failure


def test_numbers_come_out_as_float32_and_everything_else_stays(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["nothing"] = h5py.Empty("f8")
        opened["half"] = np.ones((2, 3), np.float16)
        opened["whole"] = np.arange(6).reshape(3, 2)
        opened["words"] = ["a", "b"]
        opened["group/inside"] = np.ones(3)
    assert list_datasets([tmp_path / "a.h5"]) == [{"half": (2, 3), "whole": (3, 2)}]
    half, whole, words, group, absent = read_datasets(
        tmp_path / "a.h5", ["half", "whole", "words", "group", "absent"]
    )
    assert half.dtype == whole.dtype == np.float32 and whole.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert all(isinstance(answer, Failure) for answer in (words, group, absent))
    assert "words in" in words.reason and "no array of numbers" in words.reason


def test_a_file_does_not_reach_into_others(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(64)))
    with h5py.File(tmp_path / "other.h5", "w") as opened:
        opened["x"] = np.ones(3)
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["linked"] = h5py.ExternalLink("other.h5", "x")
        opened.create_dataset("stored", (64,), "u1", external=[(str(tmp_path / "secret"), 0, 64)])
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (3,))
        opened.create_virtual_dataset("virtual", layout)
        opened["own"] = np.ones(3)
    assert list_datasets([tmp_path / "a.h5"]) == [{"own": (3,)}]
    answers = list(read_datasets(tmp_path / "a.h5", ["linked", "stored", "virtual"]))
    assert all(isinstance(answer, Failure) for answer in answers)


def test_a_claim_of_size_takes_no_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened.create_dataset("huge", (LARGEST, 8), "f4", chunks=(1024, 8))  # nothing of it is stored
    [answer] = read_datasets(tmp_path / "a.h5", ["huge"])
    assert isinstance(answer, Failure) and "claims the shape" in answer.reason


def test_what_is_no_hdf5_file_is_named(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 100)
    with pytest.raises(UserError, match=r"a.h5 is not a whole HDF5 file"):
        list_datasets([tmp_path / "a.h5"])
