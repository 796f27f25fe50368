"""The demo corpus on disk: the same bytes for the same seed, and media as documented."""

import csv
import shutil
from pathlib import Path

import av
import pytest
import soundfile

from cmarr.corpora.demo import generate as generator
from cmarr.corpora.demo.generate import generate
from cmarr.corpora.demo.reader import read
from cmarr.doctor.fairness import face_rate
from cmarr.errors import UserError
from cmarr.files import file_digest, folder_digest


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    generate(folder, seed=3, workers=1, sessions=2, utterances=16)
    return folder


def rewrite(corpus, folder, change):
    """A copy of the table alone, its rows changed."""
    with (corpus / "labels.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    change(rows)
    with (folder / "labels.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_the_number_of_workers_changes_no_byte(corpus, tmp_path):
    generate(tmp_path, seed=3, workers=2, sessions=2, utterances=16)
    assert folder_digest(tmp_path) == folder_digest(corpus)


def test_a_file_depends_on_the_seed_and_its_utterance_alone(corpus, tmp_path):
    job = generator._render
    takes = generator.plan(seed=3, sessions=2, utterances=16)
    other = generator.plan(seed=4, sessions=2, utterances=16)
    take = next(t for t in takes if not t.absent)
    for folder in ("audio", "video"):
        (tmp_path / folder).mkdir()
    row = job(tmp_path, tmp_path, take, lambda: None)
    for kind in ("audio", "video"):
        assert file_digest(tmp_path / row[kind]) == file_digest(corpus / row[kind])
    assert [t.text for t in takes] != [t.text for t in other]


def test_speech_and_video_are_as_documented_and_last_equally_long(corpus):
    utterances, _ = read(corpus)
    whole = next(u for u in utterances if u.audio and u.video)
    sound = soundfile.info(whole.audio)
    assert (sound.samplerate, sound.channels, sound.subtype) == (16_000, 1, "PCM_16")
    with av.open(whole.video) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].average_rate == 25
        assert "encoder" not in container.metadata, "the muxer's version decides bytes"
    assert frames[0].width == frames[0].height == 160
    assert len(frames) / 25 == pytest.approx(sound.duration, abs=0.04)


def test_the_face_detector_finds_the_faces(corpus):
    utterances, _ = read(corpus)
    assert face_rate(utterances, every=20) >= 0.9


def test_what_is_absent_is_empty_in_the_table(corpus):
    utterances, rejected = read(corpus)
    assert len(utterances) == 16 and rejected == []
    assert sum(u.text is None for u in utterances) == 1
    assert sum(u.audio is None for u in utterances) == 1
    assert all(u.text or u.audio or u.video for u in utterances)
    for path in (p for u in utterances for p in (u.audio, u.video) if p):
        assert Path(path).is_absolute() and Path(path).is_file()


def test_what_an_earlier_run_left_is_replaced_and_other_files_are_not(corpus, tmp_path):
    (tmp_path / generator.MARKER).write_text("")
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/s09f-001.wav").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine")
    generate(tmp_path, seed=3, workers=1, sessions=2, utterances=16)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "notes.txt").unlink()
    assert folder_digest(tmp_path) == folder_digest(corpus)


def test_a_folder_with_somebody_elses_files_is_not_touched(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/precious.wav").write_bytes(b"mine")
    with pytest.raises(UserError, match="holds files that this generator did not make"):
        generate(tmp_path, seed=3, workers=1, sessions=2, utterances=16)
    assert (tmp_path / "audio/precious.wav").read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["audio"]


@pytest.mark.parametrize("wrong", [{"sessions": "3"}, {"utterances": True}, {"seed": -1}])
def test_sizes_are_whole_numbers(tmp_path, wrong):
    with pytest.raises(UserError, match=f"options.{next(iter(wrong))}: must be a whole number"):
        generate(tmp_path / "new", **{"seed": 0, "workers": 1} | wrong)


def test_a_run_that_breaks_off_leaves_no_corpus(corpus, tmp_path, monkeypatch):
    rewrite(corpus, tmp_path, lambda rows: None)
    (tmp_path / generator.MARKER).write_text("")

    def full(frames):
        raise OSError("no space left on device")

    monkeypatch.setattr(generator, "_video", full)
    with pytest.raises(OSError, match="no space"):
        generate(tmp_path, seed=3, workers=1, sessions=2, utterances=16)
    with pytest.raises(UserError, match=r"labels.csv does not exist: .* generate it again"):
        read(tmp_path)


def test_a_run_goes_on_with_the_media_that_a_killed_one_has_left(corpus, tmp_path, monkeypatch):
    made = []
    video = generator._video

    def mortal(frames):
        made.append(1)
        if len(made) == 6:
            raise KeyboardInterrupt
        return video(frames)

    monkeypatch.setattr(generator, "_video", mortal)
    options = {"seed": 3, "workers": 1, "sessions": 2, "utterances": 16, "work": tmp_path / "work"}
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "new", **options)
    shutil.rmtree(tmp_path / "new")  # as before every run of a stage
    generate(tmp_path / "new", **options)
    assert folder_digest(tmp_path / "new") == folder_digest(corpus)
    assert len(made) == 1 + len(list((corpus / "video").iterdir())), "five were not made again"


@pytest.mark.parametrize(
    ("sessions", "utterances", "message"), [(1, 16, "2 sessions"), (2, 15, "at least 16, not 15")]
)
def test_sizes_that_make_no_corpus_are_refused(tmp_path, sessions, utterances, message):
    with pytest.raises(UserError, match=message):
        generate(tmp_path / "new", seed=0, workers=1, sessions=sessions, utterances=utterances)
    assert not (tmp_path / "new").exists()


def test_an_unknown_label_is_rejected_with_its_line(corpus, tmp_path):
    utterances, [rejected] = read(rewrite(corpus, tmp_path, lambda rows: rows[2].update(label="anger")))
    assert len(utterances) == 15
    assert rejected.reason == "labels.csv, line 4: unknown label 'anger'; did you mean 'angry'?"


def test_an_id_that_appears_twice_names_both_lines(corpus, tmp_path):
    rewrite(corpus, tmp_path, lambda rows: rows[5].update(id=rows[0]["id"]))
    with pytest.raises(UserError, match=r"s01f-001 appears twice, in line 2 and in line 7"):
        read(tmp_path)


def test_a_row_without_an_id_and_a_table_without_a_column_are_refused(corpus, tmp_path):
    with pytest.raises(UserError, match="line 3: no id"):
        read(rewrite(corpus, tmp_path, lambda rows: rows[1].update(id="")))
    with pytest.raises(UserError, match="lacks the column label"):
        read(rewrite(corpus, tmp_path, lambda rows: [row.pop("label") for row in rows]))
