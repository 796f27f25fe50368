"""What can go wrong around a file that is written, besides a kill and a full disk (tests/training/test_kills.py)."""

import stat

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from cmarr.files import atomic, write_text


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_weights_can_be_read_by_whom_the_umask_allows(tmp_path):
    (tmp_path / "usual").touch()
    with atomic(tmp_path / "weights") as temporary:
        save_file({"w": np.zeros(3)}, temporary)
    assert mode(tmp_path / "weights") == mode(tmp_path / "usual")


def test_a_folder_in_the_place_of_a_file_stays_and_is_named(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "taken", "text")
    assert caught.value.filename2 == str(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_of_a_library_that_cannot_write_the_system_says_why(tmp_path, monkeypatch):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(PermissionError, match="Permission denied"), atomic(tmp_path / "weights"):
        raise SafetensorError("I/O error")
