"""What an upload is answered with, and who waits for whom, without HTTP."""

import threading
import time

import pytest

from cmarr.recognition.clips import Given, clip_from
from cmarr.recognition.doubt import doubts
from cmarr.recognition.prediction import Prediction, Refusal
from cmarr.serving.messages import Answer, Form
from cmarr.serving.service import Service
from cmarr.serving.turns import Patience, TooLate, Turns


def test_hiding_after_reading_is_hiding_before(recognizer, clips, tmp_path):
    """One reading for all that may be hidden: the same answers, reasons and warnings."""
    clip = clip_from(clips / "a.mp4", audio=clips / "loud.wav", text="hello \ud83d", scratch=tmp_path)
    hides = [(), ("speech",), ("text",), ("speech", "video"), ("speech", "video", "text")]
    (together,) = recognizer.predict_hiding([clip], hides)
    for hide, found in zip(hides, together, strict=True):
        (alone,) = recognizer.predict_all([clip], hide)
        assert type(found) is type(alone) and found.missing == alone.missing
        assert set(found.warnings) == set(alone.warnings)
        if isinstance(found, Prediction):
            assert dict(found.probabilities) == pytest.approx(dict(alone.probabilities), abs=1e-6)
    assert "clipped" in " ".join(together[0].warnings) and "clipped" not in " ".join(together[1].warnings)
    assert isinstance(together[-1], Refusal)


def test_an_upload_is_answered_with_what_would_change(recognizer, clips, tmp_path):
    service = Service(recognizer)
    files = {"clip": clips / "a.mp4", "audio": clips / "long.wav", "captions": clips / "long.srt"}
    found = service.look(Form(window=2.0, hide=["video"]), files, tmp_path, Patience())
    answer = Answer.model_validate(found)
    assert answer.prediction.used == ["speech", "text"] and answer.prediction.missing == {"video": "hidden"}
    assert set(answer.hidden) == {"speech", "text"} and answer.hidden["text"].used == ["speech"]
    assert [window.prediction.start for window in answer.windows] == [0.0, 1.0, 2.0, 3.0]
    assert {"text"} == set.union(*(set(w.prediction.used) - {"speech"} for w in answer.windows))
    assert all(set(window.hidden) <= {"speech", "text"} for window in answer.windows)
    assert set(answer.hidden_doubt) == set(answer.hidden)
    assert "it rests on text alone" in answer.hidden_doubt["speech"]


def said(winner, **shares):
    return Prediction("a", shares, winner, None, 0.2, ("speech",))


def test_why_there_is_doubt():
    speech, text = said("sad", glad=0.1, sad=0.9), said("glad", glad=0.8, sad=0.2)
    whole = Prediction("a", {"glad": 0.45, "sad": 0.55}, "sad", None, 0.9, ("speech", "text"), ("video",))
    told = doubts(whole, {"speech": speech, "text": text})
    assert told == [
        "glad (0.45) is close to sad (0.55)",
        "the modalities disagree: speech alone says sad (0.90) and text alone says glad (0.80)",
        "video was not there, and was reconstructed from the rest",
        "the model is unsure: uncertainty 0.90 of 1",
    ]
    assert doubts(Prediction("a", {"glad": 0.9, "sad": 0.1}, "glad", None, 0.1, ("speech", "text")), {}) == []
    scores = {
        m: Prediction("a", {}, None, score, None, (m,)) for m, score in (("text", 1.5), ("video", -1.0))
    }
    both = Prediction("a", {}, None, 0.2, None, ("video", "text"))
    assert doubts(both, scores) == [
        "the modalities disagree: video alone gives -1.00 and text alone gives 1.50"
    ]


def test_turns_are_taken_in_the_order_in_which_they_were_asked_for():
    turns, order, first = Turns(), [], threading.Event()

    def work(name):
        for _ in range(2):
            with turns.turn(Patience()):
                order.append(name)
                first.wait(10)

    threads = []
    for name in "abc":
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
        while len(turns) < len(threads):
            time.sleep(0.001)
    first.set()
    for thread in threads:
        thread.join()
    assert "".join(order) == "abcabc"


def test_who_waits_too_long_or_for_nobody_gives_up():
    turns, gone = Turns(), Patience()
    with turns.turn(Patience()):
        with (
            pytest.raises(TooLate, match="not answered within request_seconds"),
            turns.turn(Patience(0.1)),
        ):
            pass
        gone.given_up = True
        with pytest.raises(TooLate, match="nobody waits"), turns.turn(gone):
            pass
    with turns.turn(Patience()):
        assert len(turns) == 1, "those who gave up stand in nobody's way"


def test_a_small_request_does_not_wait_for_a_large_one(recognizer, monkeypatch):
    """While a heavy one has its turn, a text is answered."""
    monkeypatch.setattr("cmarr.serving.service.LIGHT", 150)
    service, entered, leave = Service(recognizer), threading.Event(), threading.Event()
    real = recognizer.predict_all

    class Slow:
        def __getattr__(self, name):
            return getattr(recognizer, name)

        def predict_all(self, found, hide=()):
            if any(isinstance(clip, Given) and clip.features for clip in found):
                entered.set()
                assert leave.wait(60)
            return real(found, hide)

    service.recognizer = Slow()
    rows = [[0.1] * 40] * 2
    thread = threading.Thread(target=service.reply, args=([{"features": {"speech": rows}}],))
    thread.start()
    assert entered.wait(60)
    assert service.reply([{"text": "hello"}])[0]["used"] == ["text"]
    assert thread.is_alive()
    leave.set()
    thread.join()
