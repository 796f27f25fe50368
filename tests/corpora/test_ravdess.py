"""RAVDESS: everything stands in the names of the clips."""

from collections import Counter
from pathlib import Path

import pytest

from cmarr.corpora.labels import select_labels
from cmarr.corpora.ravdess import PUBLISHED
from cmarr.corpora.registry import corpus_inventory, read_corpus
from cmarr.errors import UserError

REAL = Path(__file__).parents[3] / "shared/data/ravdess"


def clips(root, *names, content=b"sound"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(root, **options):
    return read_corpus("ravdess", root, dataset="ravdess", **options)


def test_a_clip_is_read_from_its_name(tmp_path):
    clips(tmp_path, "Actor_12/03-01-05-02-02-01-12.wav")
    [clip], rejected = read(tmp_path)
    assert clip.id == "01-05-02-02-01-12"
    assert clip.label == "angry"
    assert clip.text == "Dogs are sitting by the door"
    assert (clip.speaker, clip.sex) == ("Actor_12", "f")
    assert clip.ratings == {"intensity": 2.0}
    assert clip.audio == str(tmp_path / "Actor_12/03-01-05-02-02-01-12.wav")
    assert clip.video is None and clip.session is None
    assert rejected == []


def test_the_forms_of_a_clip_are_one_utterance(tmp_path):
    clips(
        tmp_path,
        "Audio_Speech/Actor_01/03-01-03-01-01-01-01.flac",
        "Video_Speech_Actor_01/Actor_01/01-01-03-01-01-01-01.MP4",
        "Video_Speech_Actor_01/Actor_01/02-01-03-01-01-01-01.mp4",
        "Actor_02/01-01-04-01-01-01-02.mp4",
        "Actor_03/02-01-04-01-01-01-03.mp4",
    )
    whole, film, silent = read(tmp_path)[0]
    assert Path(whole.audio).name == "03-01-03-01-01-01-01.flac"
    assert Path(whole.video).name == "01-01-03-01-01-01-01.MP4"
    assert film.audio == film.video and film.video.endswith("01-01-04-01-01-01-02.mp4")
    assert silent.audio is None and silent.video.endswith("02-01-04-01-01-01-03.mp4")


def test_song_is_left_out_unless_asked_for(tmp_path):
    clips(tmp_path, "Actor_01/03-01-01-01-01-01-01.wav", "Actor_01/03-02-01-01-01-01-01.wav")
    assert [u.id for u in read(tmp_path)[0]] == ["01-01-01-01-01-01"]
    assert [u.id for u in read(tmp_path, song=True)[0]] == ["01-01-01-01-01-01", "02-01-01-01-01-01"]


def test_women_have_even_numbers_and_men_odd_ones(tmp_path):
    clips(tmp_path, "Actor_01/03-01-01-01-01-01-01.wav", "Actor_12/03-01-01-01-01-01-12.wav")
    assert [u.speaker for u in read(tmp_path)[0]] == ["Actor_01", "Actor_12"]
    assert [(u.speaker, u.sex) for u in read(tmp_path, sex="female")[0]] == [("Actor_12", "f")]
    assert [(u.speaker, u.sex) for u in read(tmp_path, sex="male")[0]] == [("Actor_01", "m")]
    with pytest.raises(UserError, match=r"options.sex: .* not 'femal'; did you mean 'female'\?"):
        read(tmp_path, sex="femal")


def test_litter_is_ignored_and_wrong_names_are_rejected_with_the_reason(tmp_path):
    clips(
        tmp_path,
        "Actor_01/03-01-01-01-01-01-01.wav",
        "Actor_01/._03-01-01-01-01-02-01.wav",
        "__MACOSX/Actor_01/03-01-01-01-02-01-01.wav",
        "Actor_01/notes.txt",
        "Actor_01/03-01-09-01-01-01-01.wav",
        "Actor_01/03-01-01-01-01-01-25.wav",
        "Actor_01/happy.wav",
        "Actor_01/01-01-02-01-01-01-01.wav",
    )
    utterances, rejected = read(tmp_path)
    assert len(utterances) == 1
    reasons = {r.id: r.reason for r in rejected}
    assert len(reasons) == 4
    assert "unknown emotion 09" in reasons["03-01-09-01-01-01-01"]
    assert "unknown actor 25" in reasons["03-01-01-01-01-01-25"]
    assert "not an official clip name" in reasons["happy"]
    assert "form 01 does not come as .wav" in reasons["01-01-02-01-01-01-01"]


def test_a_copy_is_harmless_and_a_contradiction_is_not(tmp_path):
    # a much used repackaging holds every file twice
    clips(tmp_path, "Actor_01/03-01-01-01-01-01-01.wav", "all/Actor_01/03-01-01-01-01-01-01.wav")
    assert len(read(tmp_path)[0]) == 1
    clips(tmp_path, "all/Actor_01/03-01-01-01-01-01-01.wav", content=b"other")
    with pytest.raises(UserError, match=r"Actor_01/03-01.*wav and .*all/Actor_01/03-01.*move one"):
        read(tmp_path)


def test_an_empty_root_says_what_was_expected(tmp_path):
    with pytest.raises(UserError, match=r"datasets.ravdess.root: .*expected: clips named like Actor_12"):
        read(tmp_path)


def test_a_root_that_is_not_there_names_the_key(tmp_path):
    with pytest.raises(UserError, match=r"datasets.ravdess.root: .*nowhere does not exist"):
        read(tmp_path / "nowhere")


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the recordings in ../shared/data/ravdess are not on this machine"
)
def test_the_real_recordings():
    utterances, rejected = read(REAL)
    assert rejected == []
    assert len(utterances) == 672
    assert Counter(u.label for u in utterances) == {"angry": 192, "happy": 192, "sad": 192, "neutral": 96}
    assert all(PUBLISHED[name] == n for name, n in Counter(u.label for u in utterances).items())
    assert Counter({u.speaker: u.sex for u in utterances}.values()) == {"m": 12, "f": 12}
    assert all(u.video is None and u.text and Path(u.audio).is_file() for u in utterances)
    assert [u.id for u in utterances] == sorted(u.id for u in utterances)
    kept, selection = select_labels(utterances, ["angry", "sad"], {})
    assert len(kept) == 384 and selection.dropped == {"happy": 192, "neutral": 96}
    assert corpus_inventory("ravdess", REAL, dataset="ravdess")["files"] == 672
