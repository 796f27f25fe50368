"""The picture of a long recording."""

import pytest

from cmarr.corpora.headers import Header
from cmarr.errors import UserError
from cmarr.recognition.clips import cut_windows
from cmarr.recognition.course import draw_course
from cmarr.recognition.prediction import Prediction, Refusal
from cmarr.utterance import Utterance

CLASSES = ("calm", "tense")


def window(start, calm=0.5, id="a", used=("speech",)):
    given = {"calm": calm, "tense": 1 - calm}
    return Prediction(id, given, "calm", None, 0.4, used, start=start, end=start + 2.0)


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_course_is_drawn_the_same_each_time(tmp_path, ending):
    answers = [window(0.0), window(1.0, 0.7), Refusal("a", "silence", start=2.0, end=4.0), window(3.0, 0.2)]
    for name in ("one", "two"):
        draw_course(tmp_path / f"{name}.{ending}", answers, CLASSES)
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_names_do_not_become_formulas(tmp_path):
    draw_course(tmp_path / "a.svg", [window(0.0, id="$x_$"), window(1.0, id="$x_$")], CLASSES)


def test_a_score_has_a_course_too(tmp_path):
    scores = [Prediction("a", {}, None, s, None, ("text",), start=s, end=s + 1) for s in (0.0, 1.0, 2.0)]
    draw_course(tmp_path / "a.png", scores, ())


def test_one_window_is_a_point_and_too_many_recordings_are_refused(tmp_path):
    draw_course(tmp_path / "a.svg", [window(0.0)], CLASSES)
    many = [window(start, id=str(i)) for i in range(13) for start in (0.0, 1.0)]
    with pytest.raises(UserError, match="13 recordings, more than the 12"):
        draw_course(tmp_path / "b.svg", many, CLASSES)


@pytest.mark.parametrize(
    ("seconds", "window", "hop", "spans"),
    [
        (5.0, 2.0, 1.0, [(0, 2), (1, 3), (2, 4), (3, 5)]),
        (5.2, 2.0, 2.0, [(0, 2), (2, 4), (4, 5.2)]),
        (4.1, 2.0, 2.0, [(0, 2), (2, 4)]),  # a twentieth of a window is left: not worth an answer
        (1.5, 2.0, 1.0, [(None, None)]),
    ],
)
def test_windows_cover_a_recording(seconds, window, hop, spans):
    whole = Utterance("a", audio="a.wav")
    cut = cut_windows(whole, {"a.wav": Header(seconds, audio=True, video=False)}, window, hop)
    assert [(u.start, u.end) for u in cut] == [pytest.approx(span) if span[1] else span for span in spans]


def test_a_text_without_times_belongs_to_no_window():
    whole = Utterance("a", audio="a.wav", text="all that was said")
    cut = cut_windows(whole, {"a.wav": Header(5.0, audio=True, video=False)}, 2.0, 2.0)
    assert [u.text for u in cut] == [None, None, None]
