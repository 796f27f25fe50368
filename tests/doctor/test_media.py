"""What the doctor says of media: the verdict that extraction would come to."""

import numpy as np
import pytest
import soundfile

from cmarr.doctor.media import media_findings
from cmarr.utterance import Utterance


@pytest.fixture
def sound(tmp_path):
    """A file of half a second."""
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16_000)
    return str(tmp_path / "a.wav")


def problems(*utterances):
    return [f.text for f in media_findings(utterances) if f.level == "problem"]


@pytest.mark.parametrize("name", ["nan", "u.opus", "u.3gp", "u", "u.wav"])
def test_a_file_that_is_not_there_is_a_problem_whatever_its_name_ends_in(tmp_path, name):
    (problem,) = problems(Utterance("u", video=str(tmp_path / name)))
    assert "video of 1 of 1 utterances cannot be read" in problem and "does not exist" in problem


def test_times_in_milliseconds_are_a_problem(sound):
    (problem,) = problems(Utterance("u", audio=sound, start=100.0, end=400.0))
    assert "lasts 0.5 s, the utterance begins at 100 s; are times in seconds?" in problem


def test_one_recording_in_several_rows_is_a_warning(sound):
    cut = [Utterance(str(i), audio=sound, start=i / 10, end=(i + 1) / 10, label="sad") for i in range(3)]
    assert [f.level for f in media_findings(cut)] == ["ok"]
    copies = [Utterance(str(i), audio=sound, label=label) for i, label in enumerate(["sad", "sad", "angry"])]
    (warning,) = [f.text for f in media_findings(copies) if f.level == "warning"]
    assert warning == "1 recording in several rows each, with different labels (0, 1, 2)"
