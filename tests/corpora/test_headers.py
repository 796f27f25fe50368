"""Headers of media files, opened where they can do no harm."""

import miniatures

from cmarr.corpora.headers import Header, read_headers
from cmarr.media.clips import Failure


def test_a_header_tells_length_and_tracks(tmp_path):
    miniatures.sound(tmp_path / "a.wav", 0.5)
    miniatures.film(tmp_path / "b.avi", 1.0)
    paths = [str(tmp_path / name) for name in ("a.wav", "b.avi")]
    headers = read_headers([*paths, paths[0]], workers=2)
    assert headers[paths[0]] == Header(0.5, audio=True, video=False)
    assert headers[paths[1]] == Header(1.0, audio=False, video=True)
    assert len(headers) == 2


def test_what_cannot_be_opened_says_why_and_what_to_do(tmp_path):
    miniatures.sound(tmp_path / "good.wav", 0.5)
    miniatures.sound(tmp_path / "silent.wav", 0)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "broken.wav").write_bytes(b"RIFF\0\0")
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 40)
    (tmp_path / "pointer.flv").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    )
    names = ["good.wav", "silent.wav", "empty.wav", "broken.wav", "broken.mp4", "pointer.flv", "absent.avi"]
    headers = read_headers([str(tmp_path / name) for name in names])
    good, *bad = headers.values()
    assert good == Header(0.5, audio=True, video=False)
    assert all(isinstance(answer, Failure) and str(tmp_path) in answer.reason for answer in bad)
    reasons = dict(zip(names[1:], (answer.reason for answer in bad), strict=True))
    assert "holds no sound" in reasons["silent.wav"]
    assert "is empty (0 bytes)" in reasons["empty.wav"]
    assert "run `git lfs pull`" in reasons["pointer.flv"]
    assert "does not exist" in reasons["absent.avi"]
    assert "cannot be opened" in reasons["broken.wav"] and "cannot be opened" in reasons["broken.mp4"]


def test_no_files_no_processes():
    assert read_headers([]) == {}
