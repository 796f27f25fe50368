"""Extraction loses nothing: what cannot be used is listed, what is done is kept, the rest is made."""

import shutil

import numpy as np
import pytest
import soundfile

from cmarr.corpora.manifest import read_quarantine
from cmarr.encoders.hashing import Hashing
from cmarr.encoders.logmel import LogMel
from cmarr.errors import UserError
from cmarr.features.extract import extract
from cmarr.features.shards import read_features, read_metadata, shard_path
from cmarr.utterance import FeatureSequence, Rejected, Utterance


class Counting:
    """An encoder of two frames an utterance that remembers what it was asked, and can be told to fail."""

    modality = "s"
    dim = 2

    def __init__(self, fails=(), killed_at=None, revision="1", answers=None):
        self.fails, self.killed_at, self.revision = fails, killed_at, revision
        self.answers = answers or {}
        self.asked = []

    def describe(self):
        return {"encoder": "counting", "revision": self.revision, "parameters": ""}

    def encode(self, utterances):
        for utterance in utterances:
            if utterance.id == self.killed_at:
                raise KeyboardInterrupt
            self.asked.append(utterance.id)
            if utterance.id in self.fails:
                yield Rejected(utterance.id, "s", "extract", f"{utterance.audio} is out of tune")
            elif utterance.id in self.answers:
                yield self.answers[utterance.id]
            else:
                frames = np.full((2, 2), int(utterance.id), np.float32)
                yield FeatureSequence(utterance.id, frames, np.array([0, 0.1], np.float32))


@pytest.fixture
def corpus(tmp_path):
    """Ten utterances with a sound file each; every file has its own content."""
    (tmp_path / "wav").mkdir()
    utterances = []
    for i in range(10):
        path = tmp_path / "wav" / f"{i}.wav"
        path.write_bytes(b"sound" * (i + 1))
        utterances.append(Utterance(f"{i}", audio=str(path)))
    return utterances


@pytest.fixture
def out(tmp_path):
    return tmp_path / "features"


@pytest.fixture
def work(tmp_path):
    return tmp_path / "unfinished"


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_are_in_manifest_order_in_shards_of_the_given_size(corpus, out):
    summary = extract(corpus, Counting(), out, shard_size=4)
    assert read_features(out).ids == [str(i) for i in range(10)]
    assert sorted(path.name for path in out.iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
        "quarantine.parquet",
    ]
    assert (summary.encoded, summary.absent, summary.shards, summary.reused) == (10, 0, 3, 0)
    assert read_quarantine(out / "quarantine.parquet") == []
    metadata = read_metadata(shard_path(out, 0))
    assert metadata["encoder"] == "counting" and metadata["product"].startswith("cmarr ")


def test_an_absent_modality_is_neither_a_row_nor_an_error(corpus, out):
    summary = extract([Utterance("x"), *corpus, Utterance("y", text="hm")], Counting(), out, max_rejected=0)
    assert (summary.encoded, summary.absent) == (10, 2)
    assert summary.rejected == []


def test_a_blank_transcript_is_an_absence_too(out):
    utterances = [Utterance("a", text="well"), Utterance("b", text="  "), Utterance("c")]
    summary = extract(utterances, Hashing(Hashing.Settings()), out, max_rejected=0)
    assert (summary.encoded, summary.absent) == (1, 2)
    assert read_quarantine(out / "quarantine.parquet") == []
    assert "1 utterance encoded" in str(summary) and "2 without this modality" in str(summary)


def test_a_corpus_without_the_modality_gives_an_empty_folder(out):
    summary = extract([Utterance("a", text="well")], Counting(), out)
    assert (summary.encoded, summary.absent, summary.shards) == (0, 1, 0)
    assert read_features(out) is None


def test_what_cannot_be_encoded_is_quarantined_with_its_reason(corpus, out):
    summary = extract(corpus, Counting(fails=("3", "7")), out, shard_size=4, max_rejected=0.2)
    expected = [Rejected(i, "s", "extract", f"{i}.wav is out of tune") for i in ("3", "7")]
    assert read_quarantine(out / "quarantine.parquet") == expected == summary.rejected
    assert summary.encoded == 8
    assert summary.kinds == {"the file is out of tune": 2}
    assert str(summary).endswith("2 quarantined\n  2 x the file is out of tune")


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.array([[1, np.nan]]), "1 of its 2 feature values are NaN or infinite"),
        (np.array([[1, np.inf], [-np.inf, 0]]), "2 of its 4 feature values are NaN or infinite"),
        (np.zeros((0, 2)), "no frame"),
        (np.zeros((3, 5)), "5 columns where 2 are due"),
    ],
)
def test_features_that_cannot_be_used_are_quarantined(corpus, out, frames, words):
    answer = FeatureSequence("4", frames.astype(np.float32), np.zeros(len(frames), np.float32))
    summary = extract(corpus, Counting(answers={"4": answer}), out)
    assert [r.id for r in summary.rejected] == ["4"]
    assert words in summary.rejected[0].reason
    assert "4" not in read_features(out).ids


def test_too_many_failures_stop_the_stage_and_say_what_to_do(corpus, out):
    with pytest.raises(UserError) as caught:
        extract(corpus, Counting(fails=("1", "3", "5", "7")), out, max_rejected=0.3)
    message = str(caught.value)
    assert message.startswith("speech: 4 of 10 utterances cannot be encoded, more than max_rejected = 0.3")
    assert "1: 1.wav is out of tune" in message and "5: 5.wav" in message and "7: 7.wav" not in message
    assert "put the files right or raise max_rejected" in message
    assert len(read_quarantine(out / "quarantine.parquet")) == 4


def test_the_share_is_of_the_utterances_that_have_the_modality(corpus, out):
    absent = [Utterance(f"absent {i}") for i in range(90)]
    with pytest.raises(UserError, match="2 of 10"):
        extract(corpus + absent, Counting(fails=("1", "2")), out, max_rejected=0.1)
    assert extract(corpus + absent, Counting(fails=("1",)), out, max_rejected=0.1).encoded == 9


def test_no_face_is_an_absence_that_stops_nothing(corpus, out):
    blind = {u.id: Rejected(u.id, "v", "extract", "no face found in 25 frames") for u in corpus[:9]}
    summary = extract(corpus, Counting(answers=blind), out, max_rejected=0.0)
    assert summary.encoded == 1
    assert len(read_quarantine(out / "quarantine.parquet")) == 9
    assert summary.kinds == {"no face found in N frames": 9}


def test_all_rejected_follows_the_same_rule(corpus, out):
    everyone = Counting(fails=[u.id for u in corpus])
    with pytest.raises(UserError, match="10 of 10"):
        extract(corpus, everyone, out)
    assert extract(corpus, everyone, out, max_rejected=1.0).encoded == 0
    assert read_features(out) is None


@pytest.mark.parametrize("cleared", [False, True])
def test_a_killed_run_goes_on_where_it_was(corpus, out, work, cleared):
    killed = Counting(killed_at="6", fails=("1",))
    with pytest.raises(KeyboardInterrupt):
        extract(corpus, killed, out, shard_size=2, max_rejected=0.1, resume=work if cleared else None)
    if cleared:
        shutil.rmtree(out, ignore_errors=True)  # DVC clears outputs before it runs a stage
    second = Counting(fails=("1",))
    summary = extract(corpus, second, out, shard_size=2, resume=work if cleared else None)
    assert second.asked == ["6", "7", "8", "9"]
    assert (summary.reused, summary.encoded, len(summary.rejected)) == (3, 9, 1)

    extract(corpus, Counting(fails=("1",)), out.with_name("at once"), shard_size=2)
    assert bytes_of(out) == bytes_of(out.with_name("at once"))
    assert not work.exists() or list(work.iterdir()) == []


def test_a_write_that_was_interrupted_leaves_nothing_behind(corpus, out):
    out.mkdir()
    (out / ".part-00000.parquet.123.tmp").write_bytes(b"half a sh")
    shard_path(out, 7).write_bytes(b"of a larger corpus, once")
    extract(corpus, Counting(), out)
    assert sorted(path.name for path in out.iterdir()) == ["part-00000.parquet", "quarantine.parquet"]


def test_nothing_changed_nothing_made(corpus, out):
    extract(corpus, Counting(), out, shard_size=4)
    before = bytes_of(out)
    again = Counting()
    assert extract(corpus, again, out, shard_size=4).reused == 3
    assert again.asked == []
    assert bytes_of(out) == before


def test_only_the_shard_of_a_changed_file_is_made_again(corpus, out):
    extract(corpus, Counting(), out, shard_size=4)
    (out.parent / "wav" / "5.wav").write_bytes(b"another take")
    again = Counting()
    extract(corpus, again, out, shard_size=4)
    assert again.asked == ["4", "5", "6", "7"]


def test_a_moved_corpus_gives_the_same_bytes(corpus, out, tmp_path):
    extract(corpus, Counting(fails=("2",)), out)
    shutil.copytree(tmp_path / "wav", tmp_path / "elsewhere")
    moved = [Utterance(u.id, audio=u.audio.replace("/wav/", "/elsewhere/")) for u in corpus]
    extract(moved, Counting(fails=("2",)), out.with_name("moved"))
    assert bytes_of(out) == bytes_of(out.with_name("moved"))


@pytest.mark.parametrize("reason", ["revision", "damage", "utterances"])
def test_a_shard_that_is_not_right_is_made_again(corpus, out, reason):
    extract(corpus, Counting(), out, shard_size=5)
    again = Counting(revision="2" if reason == "revision" else "1")
    if reason == "damage":
        shard_path(out, 0).write_bytes(shard_path(out, 0).read_bytes()[:-20])
    if reason == "utterances":
        corpus = corpus[1:6] + corpus[5:][1:]
    extract(corpus, again, out, shard_size=5)
    assert (
        again.asked
        == {
            "revision": [str(i) for i in range(10)],
            "damage": ["0", "1", "2", "3", "4"],
            "utterances": ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
        }[reason]
    )
    assert read_features(out).ids == [u.id for u in corpus]


def test_after_a_stop_what_failed_is_tried_again_and_the_rest_is_kept(corpus, out, work):
    with pytest.raises(UserError):
        extract(corpus, Counting(fails=("2", "3")), out, shard_size=2, resume=work)
    again = Counting()
    assert extract(corpus, again, out, shard_size=2, resume=work).encoded == 10
    assert again.asked == [str(i) for i in range(2, 10)]


def test_an_encoder_that_gives_another_utterance_is_a_bug(corpus, out):
    wrong = FeatureSequence("9", np.zeros((1, 2), np.float32), np.zeros(1, np.float32))
    with pytest.raises(RuntimeError, match="gave 9 where 0 was due"):
        extract(corpus, Counting(answers={"0": wrong}), out)


def test_the_number_of_workers_changes_no_byte(tmp_path):
    rng = np.random.default_rng(0)
    utterances = []
    for i in range(6):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(4000 + 800 * i), 8000 if i % 2 else 16_000)
        utterances.append(Utterance(f"{i}", audio=str(path)))
    utterances.append(Utterance("lost", audio=str(tmp_path / "lost.wav")))
    for workers in (1, 2):
        encoder = LogMel(LogMel.Settings(), workers=workers)
        summary = extract(utterances, encoder, tmp_path / f"{workers}", shard_size=4, max_rejected=0.2)
        assert summary.encoded == 6
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")
