"""The contact sheet: faces of a few utterances, spread over speakers and classes, on one figure."""

from collections import Counter

import cv2
import numpy as np
import pytest
from recordings import face, write_video

from cmarr.analyses.faces import describe_faces, faces_section
from cmarr.encoders.denseface import DensefaceRows
from cmarr.encoders.faces import see_faces, spread
from cmarr.media.faces import FaceReader
from cmarr.media.faces_file import face_shares, few_faces, read_faces, write_faces
from cmarr.utterance import Utterance


def corpus(speakers, classes, each, video="a.mp4"):
    return [
        Utterance(f"{speaker}-{label}-{i}", video=video, speaker=speaker, label=label)
        for speaker in speakers
        for label in classes
        for i in range(each)
    ]


def test_a_sample_spreads_over_speakers_and_classes():
    chosen = spread(corpus("abcde", ["happy", "sad", "angry"], 10), count=15)
    assert Counter(u.speaker for u in chosen) == dict.fromkeys("abcde", 3)
    assert Counter(u.label for u in chosen) == {"happy": 5, "sad": 5, "angry": 5}
    assert [u.id for u in chosen] == sorted(u.id for u in chosen)


def test_more_speakers_than_places():
    speakers = [f"{i:02d}" for i in range(91)]
    chosen = spread(corpus(speakers, ["happy", "sad"], 2), count=40)
    assert len({u.speaker for u in chosen}) == 40
    assert set(Counter(u.label for u in chosen).values()) == {20}


@pytest.mark.parametrize("speaker", [None, "a"])
def test_a_small_corpus_is_shown_whole(speaker):
    utterances = [Utterance(str(i), video="a.mp4", speaker=speaker) for i in range(7)]
    assert spread([*utterances, Utterance("no video")]) == utterances
    assert spread([]) == []


@pytest.fixture
def seen(tmp_path):
    film = write_video(tmp_path / "a.mp4", [face(x=60 + i) for i in range(25)])
    nobody = write_video(tmp_path / "b.mp4", [np.full((120, 160), 110, np.uint8)] * 10)
    utterances = [
        Utterance("u0", video=film, speaker="one", label="happy"),
        Utterance("u1", video=film, end=0.2, speaker="two", label="sad"),
        Utterance("u2", video=nobody, speaker="two", session="s1"),
        Utterance("u3", video=str(tmp_path / "c.mp4")),
    ]
    return see_faces(utterances, FaceReader, workers=1, seconds=60)


def test_faces_that_an_encoder_has_found_are_not_sought_again(tmp_path, face_weights):
    film = write_video(tmp_path / "a.mp4", [face(x=60 + i) for i in range(10)])
    nobody = write_video(tmp_path / "b.mp4", [np.full((120, 160), 110, np.uint8)] * 4)
    utterances = [Utterance("u0", video=film), Utterance("u1", video=nobody), Utterance("u2", video=film)]
    encoder = DensefaceRows(DensefaceRows.Settings(weights=face_weights), device="cpu", workers=1)
    encoder.faces.wanted = frozenset({"u0", "u1"})
    list(encoder.encode(utterances))
    assert encoder.faces.found.keys() == {"u0", "u1"}
    found = see_faces(utterances[:2], None, workers=1, seconds=60, found=encoder.faces.found)
    again = see_faces(utterances[:2], encoder.faces.reader, workers=1, seconds=60)
    write_faces(tmp_path / "found.parquet", found)
    write_faces(tmp_path / "again.parquet", again)
    assert (tmp_path / "found.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_faces_are_seen_and_kept(tmp_path, seen):
    assert [len(one.patches) for one in seen] == [5, 2, 0, 0]
    assert (seen[0].found, seen[0].looked) == (10, 10)
    assert seen[2].reason == "no face found in 4 frames of the file"
    assert seen[3].reason.startswith("the file does not exist")
    write_faces(tmp_path / "faces.parquet", seen)
    again = read_faces(tmp_path / "faces.parquet")
    for one, other in zip(seen, again, strict=True):
        np.testing.assert_array_equal(one.patches, other.patches)
        assert (one.id, one.speaker, one.label, one.found, one.reason) == (
            other.id, other.speaker, other.label, other.found, other.reason,
        )  # fmt: skip
    write_faces(tmp_path / "again.parquet", again)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "faces.parquet").read_bytes()


def test_whose_faces_are_hardly_found_is_told(seen):
    assert face_shares(seen, "speaker") == {"one": 1.0, "two": 2 / 6}
    assert few_faces(seen) == ["speaker two (33 %)", "session s1 (0 %)"]
    assert "Fewer than 80 % of the frames show a face: speaker two (33 %)" in faces_section(seen).lead[-1]


def test_the_sheet_says_who_is_seen_and_why_nobody_is(seen):
    (sheet,) = faces_section(seen).blocks
    assert sheet.strips[0].label == "happy  ·  one  ·  u0  ·  face in 10 of 10 frames"
    assert sheet.strips[2].alt == "no face found in 4 frames of the file"
    shown = cv2.imdecode(np.frombuffer(sheet.strips[0].image, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.abs(shown[:, :64].astype(int) - seen[0].patches[0]).mean() < 8  # a JPEG
    assert describe_faces(seen) == "a face in 2 of 4 utterances, in 75 % of all frames"
    assert faces_section(seen) == faces_section(seen)
