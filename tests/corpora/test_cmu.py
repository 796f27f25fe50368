"""CMU-MOSI and CMU-MOSEI as recordings, on miniatures of both layouts."""

import miniatures
import pytest

from cmarr.corpora.registry import corpus_published, read_corpus
from cmarr.errors import UserError
from cmarr.folds.split import split


def read(root, **options):
    return read_corpus("cmu", root, dataset="mosi_raw", **options)


def test_mosi_comes_cut_into_utterances(tmp_path):
    miniatures.mosi_raw(tmp_path)
    miniatures.litter(tmp_path)
    utterances, rejected = read(tmp_path)
    assert rejected == [] and len(utterances) == 18
    one = utterances[0]
    assert (one.id, one.text, one.score, one.label, one.split) == (
        "v0$_$1",
        "WORD 1",
        -1.0,
        "negative",
        "train",
    )
    assert one.video.endswith("Video/Segmented/v0_1.mp4") and one.audio.endswith("Segmented/v0_1.wav")
    assert (one.dialogue, one.speaker, one.start) == ("v0", None, None)


def test_mosei_comes_as_whole_videos_with_times(tmp_path):
    utterances, rejected = read(miniatures.mosei_raw(tmp_path))
    assert rejected == [] and len(utterances) == 18
    second = utterances[1]
    assert (second.id, second.text, second.score) == ("100178$_$1", "word 1", 0.0)
    assert second.video.endswith("Full/Combined/100178.mp4")  # a video whose name is a number
    assert second.audio.endswith("Full/WAV_16000/100178.wav")
    assert second.span("v") == second.span("s") == (0.1, 0.2)


def test_an_interval_that_begins_before_the_video_begins_with_it(tmp_path):
    miniatures.mosei_raw(tmp_path)
    path = next(tmp_path.rglob("100178.txt"))
    path.write_text(path.read_text().replace("___0___0___0.1___", "___0___-0.4775___0.1___"))
    utterances, rejected = read(tmp_path)
    assert rejected == [] and (utterances[0].start, utterances[0].end) == (0.0, 0.1) and utterances[0].video


def test_a_sentence_that_is_cut_already_keeps_the_times_for_the_video(tmp_path):
    miniatures.mosei_raw(tmp_path)
    miniatures.sound(tmp_path / "Raw/Audio/Segmented/100178_1.wav", 0.1)
    second = read(tmp_path)[0][1]
    assert second.audio.endswith("100178_1.wav")
    assert second.span("s") == (None, None) and second.span("v") == (0.1, 0.2)


def test_the_layout_of_mmsa_needs_no_transcripts(tmp_path):
    miniatures.write(
        tmp_path / "label.csv", "video_id,clip_id,text,label,annotation,mode\nabc,2,hello,1.4,x,train\n"
    )
    miniatures.film(tmp_path / "Raw/abc/2.mp4", 0.1)
    [one] = read(tmp_path)[0]
    assert (one.id, one.text, one.score, one.split) == ("abc$_$2", "hello", 1.4, "train")
    assert one.video == one.audio == str(tmp_path / "Raw/abc/2.mp4") and one.start is None


def test_lines_and_scores_without_each_other_are_rejected(tmp_path):
    miniatures.mosi_raw(tmp_path)
    path = tmp_path / "Raw/Transcript/Segmented/v0.annotprocessed"
    path.write_bytes(b"1_DELIM_CAF\xc9\n9_DELIM_NO SCORE\nnonsense\n")
    label = tmp_path / "label.csv"
    label.write_text(
        "\n".join(",".join(r.split(",")[:2] + r.split(",")[3:]) for r in label.read_text().splitlines())
    )
    utterances, rejected = read(tmp_path)
    assert utterances[0].text == "CAFÉ" and len(utterances) == 16
    reasons = {r.id: r.reason for r in rejected}
    assert reasons["v0$_$9"] == "it has no score in the labels"
    assert reasons["v0$_$2"] == "it has a score, but no line in a transcript"
    assert "v0.annotprocessed, line 3: neither" in reasons["v0 line 3"]


def test_a_second_line_or_score_of_a_clip_and_one_that_is_no_number_are_told(tmp_path):
    miniatures.mosi_raw(tmp_path)
    path = tmp_path / "Raw/Transcript/Segmented/v0.annotprocessed"
    path.write_text(path.read_text() + "\n2_DELIM_ANOTHER\n3_DELIM_WORD 3\n")
    label = tmp_path / "label.csv"
    label.write_text(label.read_text() + "v1,9,said,nan,x,train\n")
    utterances, rejected = read(tmp_path)
    assert {r.id: r.reason for r in rejected} == {
        "v0 line 4": "v0.annotprocessed, line 4: another line has the clip 2, too",
        "v1$_$9": "label.csv, line 20: its score is nan",
    }
    assert len(utterances) == 18
    label.write_text(label.read_text() + "v1,1,said,3,x,train\n")
    with pytest.raises(
        UserError, match=r"label.csv, line 21: v1\$_\$1 has another score or text above; leave one"
    ):
        read(tmp_path)


def test_the_scores_must_be_there_and_plain(tmp_path):
    miniatures.mosi_raw(tmp_path)
    label = tmp_path / "label.csv"
    label.write_text("video_id,clip_id,label\nv0,1,high\n")
    with pytest.raises(UserError, match=r"label.csv, line 2: .* is no number or no split"):
        read(tmp_path)
    label.write_text("video_id,label\nv0,1\n")
    with pytest.raises(UserError, match=r"label.csv lacks the column clip_id"):
        read(tmp_path)
    label.unlink()
    with pytest.raises(
        UserError, match=r"no files with scores; expected label.csv or an MMSA pickle, .* options.labels"
    ):
        read(tmp_path)
    with pytest.raises(UserError, match=r"other.csv does not exist"):
        read(tmp_path, labels="other.csv")


def test_the_official_split_is_kept_and_its_sizes_are_published(tmp_path):
    utterances, _ = read(miniatures.mosi_raw(tmp_path))
    [fold] = split(utterances, "official")
    assert (len(fold.train), len(fold.validation), len(fold.test)) == (6, 6, 6)
    [counts] = corpus_published("cmu", tmp_path, utterances, dataset="mosi_raw")
    assert counts.counts == {"utterances": 2199}
    assert {s: g["utterances"] for s, g in counts.groups.items()} == {
        "train": 1284,
        "valid": 229,
        "test": 686,
    }
    miniatures.mosei_raw(tmp_path / "mosei")
    [counts] = corpus_published("cmu", tmp_path / "mosei", [], dataset="mosei_raw")
    assert counts.counts == {"utterances": 22856}
