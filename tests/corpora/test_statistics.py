"""The table of a corpus, worked by hand."""

import av
import numpy as np
import pandas as pd
import pytest
import soundfile

from cmarr.corpora.statistics import corpus_table, durations, printed
from cmarr.utterance import Utterance


def test_the_table_counts_what_a_corpus_holds():
    utterances = [
        Utterance("a", text="x", audio="a.wav", label="sad", speaker="F1", sex="f", session="1"),
        Utterance(
            "b", text="x", audio="b.wav", video="b.mp4", label="happy", speaker="M1", sex="m", session="1"
        ),
        Utterance("c", audio="c.wav", label="sad", speaker="M2", sex="m", session="2"),
        Utterance("d", audio="d.wav", label="sad", speaker="M2", sex="m", session="2"),
    ]
    seconds = {"a": 1800.0, "b": 900.0, "c": 900.0, "d": 3600.0, "elsewhere": 99.0}
    [row] = corpus_table("tiny", utterances, ["happy", "sad"], seconds=seconds).to_dict("records")
    assert row == {
        "corpus": "tiny",
        "speakers": 3,
        "male": 2,
        "female": 1,
        "sessions": 2,
        "dialogues": None,
        "happy": 1,
        "sad": 3,
        "total": 4,
        "hours": 2.0,
        "untimed": 0,
        "absent_s": 0.0,
        "absent_v": 0.75,
        "absent_t": 0.5,
    }


def test_features_that_could_not_be_read_count_as_absent():
    utterances = [Utterance(id, text="x", audio="x.wav", label="sad") for id in "abcd"]
    available = {"s": ["a", "b"], "t": ["a", "b", "c", "d"]}
    [row] = corpus_table("tiny", utterances, ["sad"], available).to_dict("records")
    assert (row["absent_s"], row["absent_v"], row["absent_t"]) == (0.5, 1.0, 0.0)


def test_a_regression_corpus_is_counted_by_sign():
    utterances = [Utterance(str(i), text="x", score=score) for i, score in enumerate([-3.0, -0.2, 0.0, 2.6])]
    [row] = corpus_table("tiny", utterances).to_dict("records")
    assert (row["negative"], row["neutral"], row["positive"]) == (2, 1, 1)


def test_what_is_not_known_is_printed_as_a_dash():
    utterances = [
        Utterance("a", audio="a.wav", label="sad", speaker="A"),
        Utterance("b", audio="b.wav", label="sad", speaker="B"),
    ]
    unknown = printed(corpus_table("tiny", utterances, ["sad"])).loc[0]
    assert unknown.to_dict() == {
        "corpus": "tiny",
        "speakers": "2",
        "sessions": "-",
        "dialogues": "-",
        "sad": "2",
        "total": "2",
        "hours": "-",
        "no speech": "0.0 %",
        "no video": "100.0 %",
        "no text": "100.0 %",
    }
    partly = printed(corpus_table("tiny", utterances, ["sad"], seconds={"a": 5400.0})).loc[0]
    assert partly["hours"] == "at least 1.50"


def test_several_corpora_stack_into_one_table():
    one = corpus_table("one", [Utterance("a", text="x", label="sad", speaker="A", sex="f")], ["sad"])
    two = corpus_table("two", [Utterance("b", text="x", label="angry")], ["angry", "sad"])
    both = printed(pd.concat([one, two], ignore_index=True))
    assert both["speakers"].tolist() == ["0 male, 1 female", "-"]
    assert both["sad"].tolist() == ["1", "0"] and both["angry"].tolist() == ["-", "1"]


def test_durations_come_from_headers_and_from_the_manifest(tmp_path):
    soundfile.write(tmp_path / "two.flac", np.zeros(32_000), 16_000)
    with av.open(str(tmp_path / "one.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for _ in range(25):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        film.mux(stream.encode())
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    sound, film, broken = (str(tmp_path / name) for name in ("two.flac", "one.mp4", "broken.wav"))
    seconds = durations(
        [
            Utterance("whole", audio=sound),
            Utterance("from", audio=sound, start=0.5),
            Utterance("part", audio=sound, start=0.5, end=1.25),
            Utterance("film", video=film),
            Utterance("either", audio=broken, video=film),
            Utterance("broken", audio=broken),
            Utterance("absent", audio=str(tmp_path / "absent.wav")),
            Utterance("features", audio=str(tmp_path / "features.pkl")),
            Utterance("text", text="hello"),
        ]
    )
    assert seconds == pytest.approx({"whole": 2.0, "from": 1.5, "part": 0.75, "film": 1.0, "either": 1.0})


def test_an_utterance_is_resampled_with_the_nearest_thing_known():
    whole = Utterance("u1", speaker="ross", dialogue="dia4")
    assert (whole.cluster("speaker"), whole.cluster("dialogue")) == ("ross", "dia4")
    assert Utterance("u1", dialogue="video7").cluster("speaker") == "video7"
    assert Utterance("u1").cluster("dialogue") == "u1"
