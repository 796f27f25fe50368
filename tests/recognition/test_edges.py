"""What nobody gives on purpose: the empty path, names of 5,000 letters, impossible rates, false descriptions."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

from cmarr.budgets import plain_json, real
from cmarr.cli import app
from cmarr.errors import UserError
from cmarr.methods.described import read_description
from cmarr.methods.model import load_model
from cmarr.recognition.clips import clip_from, find_clips
from cmarr.recognition.predict import Request
from cmarr.recognition.pretrained import SHIPPED, pretrained
from cmarr.recognition.reading import _wrong_features
from cmarr.recognition.recognizer import Recognizer
from cmarr.recognition.trained import of_study
from cmarr.seals import LIST, write_list
from cmarr.utterance import real_numbers
from cmarr.verify import verify
from tests.resealed import relisted

NAMES = {
    "nothing": "",
    "a long name": "a" * 5000,
    "a long path": "a/" * 50_000,
    "a NUL": "a\0b",
    "half": "a\udc00\ud800",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize(
    "door",
    [
        lambda name: find_clips([name]),
        lambda name: find_clips([], transcript=name),
        lambda name: clip_from(name, scratch=Path()),
        lambda name: clip_from(None, audio=name, scratch=Path()),
        lambda name: pretrained(name),
        lambda name: Recognizer.load(name),
        lambda name: Request(paths=[name]).check(),
        lambda name: Request(paths=["a"], output=name and Path(name)).check() if name else find_clips([name]),
    ],
    ids=["clip", "transcript", "media", "sound", "model", "export", "request", "output"],
)
def test_what_no_file_can_be_called_is_refused(name, door):
    with pytest.raises(UserError, match="can be the name of no file") as refused:
        door(name)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"start": "1"}, "start = '1' and end = None are not"),
        ({"end": "2"}, "end = '2' are not"),
        ({"start": math.nan}, "start = nan"),
        ({"start": math.inf}, "start = inf"),
        ({"start": 2.0, "end": 1}, "start = 2.0 and end = 1"),
    ],
)
def test_times_that_cannot_be(times, message):
    with pytest.raises(UserError, match=message):
        clip_from("a.wav", **times, scratch=Path())


@pytest.mark.parametrize("clip", [3, ["a.wav"], b"RIFF"])
def test_a_clip_that_is_no_path(clip):
    with pytest.raises(UserError, match="clip: give a path, not"):
        clip_from(clip, scratch=Path())


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        ((np.zeros(100), 10**12), "a rate of 1000000000000"),
        ((np.zeros(100), math.nan), "a rate of nan"),
        ((np.zeros(100), "16000"), "a rate of '16000'"),
        ((np.zeros((100, 2000)), 16_000), r"shape \(2000, 100\); they are"),
        ((np.zeros((100, 0)), 16_000), r"shape \(100, 0\); they are"),
        ((np.zeros(100, complex), 16_000), "audio holds complex128 where real numbers are due"),
        (([[1.0], [1.0, 2.0]], 16_000), "where real numbers are due"),
    ],
)
def test_samples_that_are_none(tmp_path, sound, message):
    with pytest.raises(UserError, match=message):
        clip_from(None, audio=sound, scratch=tmp_path)


def test_links_in_a_circle_and_homes_of_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.wav").symlink_to("a.wav")
    Path("folder").symlink_to("folder")
    Path("m.csv").write_text("id,audio\nx,a.wav\ny,~nobody-at-all/b.wav\nz,folder/c.wav\n")
    assert [clip.utterance.audio for clip in find_clips(["."])] == ["a.wav"]
    assert [Path(clip.utterance.audio).name for clip in find_clips(["m.csv"])] == ["a.wav", "b.wav", "c.wav"]
    for name in ("folder", "./folder/x", "~nobody-at-all/x"):
        with pytest.raises(UserError, match="is not a folder, and no model"):
            pretrained(name)
        with pytest.raises(UserError, match="does not exist"):
            list(verify([name]))


def test_a_clip_whose_transcript_would_have_too_long_a_name(tmp_path):
    clip = tmp_path / ("a" * 251 + ".wav")
    clip.touch()
    assert find_clips([clip])[0].utterance.audio == str(clip)
    assert clip_from(clip, scratch=tmp_path).utterance.audio == str(clip)
    assert len(find_clips([tmp_path])) == 1
    assert clip_from("/", scratch=tmp_path).utterance.audio == "/"


def test_complex_features_are_refused_and_not_halved():
    assert "no real numbers" in _wrong_features(np.ones((3, 2), complex), 2)
    with pytest.raises(UserError, match="features holds complex64"):
        real_numbers(np.ones(3, np.complex64), "features")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dropout": NaN}', "holds NaN, which is no number"),
        ('{"dropout": 1e999}', "the number inf, beyond 64 bits"),
        (f'{{"d": {2**63}}}', "the number 9223372036854775808, beyond"),
        ('{"path": "' + "a" * 100_000 + '"}', "a text of 100000 letters"),
        ("[" * 100_000, "nested too deeply"),
        ('{"d": ' + "9" * 5000 + "}", "digits"),
        ("{", "Expecting property name"),
    ],
)
def test_descriptions_hold_plain_values(text, message):
    with pytest.raises(ValueError, match=message):
        plain_json(text)


TAMPERED = {
    "no number": {"settings": {"dropout": math.nan}},
    "a large number": {"dims": {"t": 2**70}},
    "a number that none has": {"dims": {"t": -1}},
    "no widths": {"dims": "wide"},
    "another method": {"method": ["cmarr"]},
    "no classes": {"classes": 5},
    "a long name": {"method": "m" * 100_000},
    "no settings": {"settings": None},
    "settings of another kind": {"settings": {"layers": [[]]}},
    "an encoder": {"encoders": {"t": {"kind": "a" * 5000}}},
    "terms": {"terms": {"t": "many"}},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Tensors and description of a model that comes with cmarr."""
    path = next((SHIPPED / "starter-open").glob("fold1-*.safetensors"))
    with safe_open(path, "np") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}, read_description(path)  # noqa: SIM118


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_a_description_that_was_tampered_with_is_refused(tmp_path, weights, change):
    tensors, description = weights
    path = tmp_path / "fold1-seed0.safetensors"
    save_file(tensors, path, {"cmarr": json.dumps({**description, **change})})
    (tmp_path / "model.json").write_text("{}")
    write_list(tmp_path / LIST, [path, tmp_path / "model.json"])
    with pytest.raises(UserError, match=path.name) as refused:
        load_model(path)
    assert len(str(refused.value)) < 1000


def test_a_place_of_100_000_letters_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED / "starter-open", folder)
    about = json.loads((folder / "model.json").read_text())
    next(iter(about["encoders"].values()))["settings"]["place"] = "a" * 100_000
    (folder / "model.json").write_text(json.dumps(about))
    relisted(folder)
    with pytest.raises(UserError, match="a text of 100000 letters"):
        pretrained(folder)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["predict", "--text", "hi"], 2, "standard output is closed; name a file with --output"),
        (["--version"], 0, ""),
        (["doctor", "--params", "a" * 5000], 2, "can be the name of"),
    ],
)
def test_a_closed_output_is_no_traceback(tmp_path, arguments, status, told):
    done = subprocess.run(
        [sys.executable, "-m", "cmarr.cli", *arguments],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False, preexec_fn=lambda: os.close(1),
    )  # fmt: skip
    assert done.returncode == status and told in done.stderr and "Traceback" not in done.stderr


def test_a_current_folder_that_is_gone_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for arguments in (["predict", "--text", "hi"], ["verify"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2 and "the folder that this is run in has been removed" in done.output
    with pytest.raises(UserError, match="the current folder, which has been removed"):
        real("a/b")


@pytest.mark.parametrize("arguments", [["--version"], ["verify", "--help"], ["verify"]])
def test_a_full_output_is_one_sentence(tmp_path, arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cmarr.cli", *arguments],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "No space left on device" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"], ["export"], ["doctor", "--params"], ["predict", "--transcript"], ["predict", "--output"],
        ["predict", "--picture"], ["compare", "a", "--params"],
    ],
)  # fmt: skip
def test_the_empty_path_is_never_the_current_folder(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*arguments, ""])
    assert done.exit_code == 2 and "the empty path can be the" in done.output


def test_a_study_whose_name_is_too_long_is_not_there(tmp_path):
    with pytest.raises(UserError, match="there is no study"):
        of_study("a" * 300, root=tmp_path)
