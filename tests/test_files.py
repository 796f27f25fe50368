"""What can go wrong around a file that is written; kills of a training stand in tests/training/test_kills.py."""

import errno
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from cmarr.errors import UserError
from cmarr.files import atomic, is_left_over, refusal, write_text
from cmarr.recognition.export import UNFINISHED, export
from cmarr.recognition.trained import exported
from tests.killed import killed_at
from tests.test_seals import KINDS, make


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_weights_can_be_read_by_whom_the_umask_allows(tmp_path):
    (tmp_path / "usual").touch()
    with atomic(tmp_path / "weights") as temporary:
        save_file({"w": np.zeros(3)}, temporary)
    assert mode(tmp_path / "weights") == mode(tmp_path / "usual")


def test_a_name_may_be_as_long_as_the_system_takes(tmp_path):
    for name in ("a" * 255, "é" * 127):
        write_text(tmp_path / name, "text")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_a_folder_in_the_place_of_a_file_stays_and_is_named(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "taken", "text")
    assert caught.value.filename2 == str(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_of_a_library_that_cannot_write_the_system_says_why(tmp_path):
    with pytest.raises(PermissionError, match="Permission denied") as caught, atomic(tmp_path / "weights"):
        raise SafetensorError("Error while serializing: I/O error: Permission denied (os error 13)")
    assert caught.value.filename == str(tmp_path / "weights")
    with pytest.raises(OSError, match="Input/output error") as failed, atomic(tmp_path / "weights"):
        raise OSError(errno.EIO, "Input/output error")  # of a write, which knows no name
    assert str(tmp_path / "weights") in str(refusal(failed.value))
    with pytest.raises(RuntimeError, match="of another kind"), atomic(tmp_path / "weights"):
        raise RuntimeError("of another kind")


class TestWhatIsNoFile:
    def test_a_device_stays_one(self, tmp_path):
        null = Path(os.devnull)
        if os.geteuid() == 0:  # who could replace that of the machine
            null = tmp_path / "null"
            os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        write_text(null, "text")
        assert null.is_char_device()
        assert [path.name for path in tmp_path.iterdir()] in ([], ["null"])

    def test_a_device_without_room_says_so(self):
        with pytest.raises(UserError, match=r"/dev/full cannot be written \(No space left on device\)"):
            write_text("/dev/full", "text")

    def test_a_pipe_is_written_to(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        found = []
        reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_text()))
        reader.start()
        write_text(tmp_path / "pipe", "text" * 50_000)
        reader.join()
        assert found == ["text" * 50_000]
        assert (tmp_path / "pipe").is_fifo()

    def test_standard_output_is_what_it_was_opened_as(self, tmp_path):
        (tmp_path / "log").write_text("before ")
        code = "from cmarr.files import write_text; write_text('/dev/stdout', 'text')"
        with (tmp_path / "log").open("a") as opened:
            subprocess.run([sys.executable, "-c", code], stdout=opened, check=True)
        assert (tmp_path / "log").read_text() == "before text"
        piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert piped.stdout == "text"


class TestLinks:
    def test_a_link_is_written_through(self, tmp_path):
        (tmp_path / "there").mkdir()
        (tmp_path / "there/file").write_text("old")
        (tmp_path / "one").symlink_to("two")
        (tmp_path / "two").symlink_to("there/file")
        write_text(tmp_path / "one", "new")
        assert (tmp_path / "there/file").read_text() == "new"
        assert (tmp_path / "one").is_symlink() and (tmp_path / "two").is_symlink()

    def test_one_that_leads_to_nothing_makes_it(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "not/yet")
        write_text(tmp_path / "link", "new")
        assert (tmp_path / "not/yet").read_text() == "new" and (tmp_path / "link").is_symlink()

    def test_what_it_leads_to_is_kept_where_nobody_may_write_it(self, tmp_path):
        """DVC links to files of its cache like this: another content under the old checksum would ruin it."""
        (tmp_path / "cached").write_text("old")
        (tmp_path / "cached").chmod(0o444)
        (tmp_path / "link").symlink_to("cached")
        write_text(tmp_path / "link", "new")
        assert (tmp_path / "cached").read_text() == "old"
        assert (tmp_path / "link").read_text() == "new" and not (tmp_path / "link").is_symlink()

    def test_one_that_leads_to_itself_is_named(self, tmp_path):
        (tmp_path / "link").symlink_to("link")
        with pytest.raises(OSError, match="Too many levels") as caught:
            write_text(tmp_path / "link", "new")
        assert "link cannot be used" in str(refusal(caught.value))


@pytest.fixture
def room():
    """`room(n)`: from now on no file takes more than n bytes, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_standard_output_that_takes_a_part_only_says_so(tmp_path):
    """On a disk that fills up the system writes what fits, and says how much that was."""
    code = (
        "import resource; from cmarr.files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, -1)); write_text('/dev/stdout', 'text' * 400)"
    )
    with (tmp_path / "log").open("ab") as opened:
        opened.write(bytes(1000))
        opened.flush()
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=opened, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1 and "/dev/stdout cannot be written (File too large)" in done.stderr


WRITTEN = [
    kind for kind in KINDS if kind not in ("scores", "list", "lengths", "description", "levels", "frame")
]


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_disk_that_is_full_at_any_byte_is_one_sentence_and_loses_nothing(kind, tmp_path, room):
    path, _ = make(kind, tmp_path)
    before, size = path.read_bytes(), path.stat().st_size
    folder = (
        tmp_path / "again" if kind.startswith("exported") else tmp_path
    )  # an export is not replaced unasked
    for limit in (0, 1, size // 3, size // 2, size - 1):
        room(limit)
        try:
            if kind == "unpacked":
                path.unlink(missing_ok=True)
            with pytest.raises(
                UserError, match=r"cannot be written \(File too large\): .* make room"
            ) as caught:
                make(kind, folder)
        finally:
            room(resource.RLIM_INFINITY)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
        assert not [left for left in tmp_path.rglob("*") if is_left_over(left)]
        assert kind == "unpacked" or path.read_bytes() == before
    make(kind, tmp_path / "new")


@pytest.mark.parametrize("step", ["fsync", "replace", "mkdir", "open"])
def test_no_room_at_any_step_of_a_write_is_one_sentence(tmp_path, monkeypatch, step):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr("pathlib.Path.write_text" if step == "open" else f"os.{step}", full)
    place = tmp_path / ("new/file" if step == "mkdir" else "file")
    with pytest.raises(UserError, match=r"file cannot be written \(No space left on device\)"):
        write_text(place, "new")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "old"


def test_no_room_elsewhere_is_a_sentence_too():
    assert refusal(OSError(errno.ENOSPC, "No space left on device", "a.lock")).startswith(
        "a.lock cannot be written"
    )
    assert refusal(OSError(errno.ENOSPC, "No space left on device")).startswith(
        "what was to be written cannot"
    )
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file", "a")) is None


def test_no_room_for_temporary_files_is_one_too(monkeypatch, room):
    monkeypatch.setattr(tempfile, "tempdir", None)
    room(0)
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.gettempdir()
    assert "make room in one of them, or name another in TMPDIR" in str(refusal(caught.value))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not is_left_over(path)}


@pytest.mark.parametrize("there", ["nothing", "an earlier export"])
def test_an_export_that_is_killed_at_any_moment_is_finished_by_the_same_command(tmp_path, there):
    study = tmp_path / "study"
    make("exported weights", study)
    trained = replace(exported(study / "out"), weights=(study / "fold1-seed0.safetensors",))
    expected, force = content(study / "out"), there != "nothing"
    for moment in range(1, 100):
        place = tmp_path / f"{moment}"
        if force:
            export(replace(trained, about=trained.about.model_copy(update={"card": "old"})), place)
        if not killed_at(moment, place, lambda place=place: export(trained, place, force=force)):
            break
        left = content(place) if place.is_dir() else {}
        if set(expected) <= set(left) and UNFINISHED not in left:
            assert exported(place)  # nothing had begun, or all was done
        export(trained, place, force=force)
        assert content(place) == expected, moment
    assert moment > 12


@pytest.mark.parametrize(
    "kind", ["manifest", "masks", "shard", "predictions", "checkpoint", "model", "settings"]
)
def test_a_file_whose_writer_is_killed_at_any_moment_is_whole(tmp_path, kind):
    for moment in range(1, 100):
        folder = tmp_path / f"{moment}"
        path, read = make(kind, folder)
        expected = read()
        if not killed_at(moment, folder, lambda folder=folder: make(kind, folder)):
            break
        assert read() == expected
        assert content(folder) == {path.name: path.read_bytes()}
    assert moment > 2
