"""MMSA pickles: rows of the manifest, and features as an encoder hands them out."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cmarr.corpora.mmsa import RELEASES
from cmarr.corpora.registry import (
    corpus_features,
    corpus_findings,
    corpus_inventory,
    corpus_published,
    read_corpus,
)
from cmarr.encoders.protocol import Encoder, is_absence
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.utterance import Rejected, Utterance

REAL = Path(__file__).parents[3] / "shared/data/mosi"


def part(ids, scores, **columns):
    """One split of two-step features: audio 3, vision 2, text 4 wide."""
    n = len(ids)
    given = {
        "id": ids,
        "raw_text": [f"text of {id}" for id in ids],
        "regression_labels": np.array(scores, np.float32),
        "audio": np.ones((n, 2, 3), np.float32),
        "vision": np.ones((n, 2, 2), np.float32),
        "text": np.ones((n, 2, 4), np.float32),
    }
    return {key: value for key, value in (given | columns).items() if value is not None}


def save(root, **splits):
    path = root / "features.pkl"
    path.write_bytes(pickle.dumps(splits, 4))
    return path


def read(root, **options):
    return read_corpus("mmsa", root, dataset="mosi", **options)


def encode(root, modality, *ids, **options):
    encoder = corpus_features("mmsa", root, modality, dataset="mosi", **options)
    return encoder, list(encoder.encode([Utterance(id) for id in ids]))


def test_rows_become_utterances(tmp_path):
    path = save(
        tmp_path,
        train=part(["v1$_$2", "v1$_$1"], [2.6, 0.0]),
        test=part(["v2$_$1"], [-1.2], raw_text=[" "]),
    )
    (one, two, three), rejected = read(tmp_path)
    assert [u.id for u in (one, two, three)] == ["v1$_$1", "v1$_$2", "v2$_$1"]
    assert (two.score, two.label, two.split, two.dialogue) == (2.6, "positive", "train", "v1")
    assert (one.label, three.label, three.split) == ("neutral", "negative", "test")
    assert two.text == "text of v1$_$2" and three.text == ""
    assert two.audio == two.video == str(path)
    assert two.speaker is None and rejected == []


def test_encoder_answers_once_an_utterance_in_the_order_asked(tmp_path):
    audio = np.arange(1, 13, dtype=np.float32).reshape(2, 2, 3)
    save(tmp_path, train=part(["a$_$1", "a$_$2"], [1, 2], audio=audio))
    encoder, (second, unknown, first) = encode(tmp_path, "s", "a$_$2", "zz", "a$_$1")
    assert isinstance(encoder, Encoder)
    assert (encoder.modality, encoder.dim) == ("s", 3)
    assert first.frames.tolist() == [[1, 2, 3], [4, 5, 6]] and first.frames.dtype == np.float32
    assert first.times.tolist() == [0, 1]
    assert second.frames.tolist() == [[7, 8, 9], [10, 11, 12]]
    assert isinstance(unknown, Rejected) and "holds no audio" in unknown.reason


def test_one_vector_an_utterance_is_a_sequence_of_one(tmp_path):
    save(tmp_path, train=part(["a$_$1"], [1], vision=np.ones((1, 20), np.float32)))
    encoder, [answer] = encode(tmp_path, "v", "a$_$1")
    assert encoder.dim == 20 and answer.frames.shape == (1, 20)


def test_given_lengths_cut_the_padding(tmp_path):
    audio = np.arange(1, 13, dtype=np.float32).reshape(1, 4, 3)
    vision = np.array([[[0, 0], [1, 1], [0, 0], [0, 0]]], np.float32)
    lengths = {"audio_lengths": [3], "vision_lengths": np.array([3])}
    save(tmp_path, test=part(["a$_$1"], [1], audio=audio, vision=vision, **lengths))
    assert encode(tmp_path, "s", "a$_$1")[1][0].frames.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert encode(tmp_path, "v", "a$_$1")[1][0].frames.tolist() == [[0, 0], [1, 1], [0, 0]]


def test_text_is_cut_to_its_mask(tmp_path):
    bert = np.array([[[101, 7, 102, 0], [1, 1, 1, 0], [0, 0, 0, 0]]], np.float32)
    save(tmp_path, test=part(["a$_$1"], [1], text=np.ones((1, 4, 5), np.float32), text_bert=bert))
    assert encode(tmp_path, "t", "a$_$1")[1][0].frames.shape == (3, 5)


def test_without_lengths_zero_frames_at_either_end_are_cut_and_times_keep_their_place(tmp_path):
    vision = np.array([[[0, 0], [1, 0], [0, 0], [2, 2], [0, 0]]], np.float32)
    save(tmp_path, test=part(["a$_$1"], [1], vision=vision))
    [answer] = encode(tmp_path, "v", "a$_$1")[1]
    assert answer.frames.tolist() == [[1, 0], [0, 0], [2, 2]]
    assert answer.times.tolist() == [1, 2, 3]


def test_infinite_audio_becomes_zero_and_is_counted(tmp_path):
    audio = np.array([[[-np.inf, 1, 2], [3, np.nan, 4]]], np.float32)
    save(tmp_path, test=part(["a$_$1"], [1], audio=audio))
    encoder, [answer] = encode(tmp_path, "s", "a$_$1")
    assert answer.frames.tolist() == [[0, 1, 2], [3, 0, 4]]
    assert encoder.replaced == {"a$_$1": 2}
    strict, [refused] = encode(tmp_path, "s", "a$_$1", nonfinite="reject")
    assert refused.reason == "2 of its 6 audio values are NaN or infinite"
    assert strict.describe() != encoder.describe()


def test_infinite_video_rejects_the_modality_of_that_utterance(tmp_path):
    vision = np.array([[[1, 1], [1, np.inf]], [[1, 1], [1, 1]]], np.float32)
    save(tmp_path, test=part(["a$_$1", "a$_$2"], [1, 1], vision=vision))
    refused, answered = encode(tmp_path, "v", "a$_$1", "a$_$2")[1]
    assert (refused.id, refused.modality, refused.stage) == ("a$_$1", "v", "extract")
    assert answered.frames.shape == (2, 2)


def test_features_that_are_all_zero_are_an_absent_modality(tmp_path):
    zeros = np.zeros((1, 2, 3), np.float32)
    save(tmp_path, test=part(["a$_$1"], [1], audio=zeros, vision=zeros))
    for modality in "sv":
        [absent], [failed] = (encode(tmp_path, modality, "a$_$1", zeros=z)[1] for z in ("absent", "error"))
        assert is_absence(absent) and not is_absence(failed) and "features are all zero" in failed.reason


def test_text_features_without_the_text_still_count_as_text(tmp_path):
    save(tmp_path, test=part(["a$_$1"], [1], raw_text=None))
    assert read(tmp_path)[0][0].text == ""


def test_an_empty_transcript_keeps_the_features_of_its_text(tmp_path):
    save(tmp_path, test=part(["a$_$1", "a$_$2"], [1, 1], raw_text=["", "well"]))
    assert [u.text for u in read(tmp_path)[0]] == ["", "well"]
    assert encode(tmp_path, "t", "a$_$1")[1][0].frames.any()


def test_an_utterance_without_a_score_is_rejected(tmp_path):
    save(tmp_path, train=part(["a$_$1", "a$_$2"], [1, np.nan]))
    utterances, [rejected] = read(tmp_path)
    assert len(utterances) == 1 and rejected.id == "a$_$2" and "score is nan" in rejected.reason


def test_an_id_in_two_splits_names_both_places(tmp_path):
    save(tmp_path, train=part(["a$_$1", "b$_$1"], [1, 1]), test=part(["b$_$1"], [1]))
    with pytest.raises(UserError, match=r"b\$_\$1 appears twice: train, row 1 and test, row 0"):
        read(tmp_path)


@pytest.mark.parametrize(
    "splits, message",
    [
        ([1, 2], "another layout"),
        ({"train": []}, "another layout"),
        ({"train": {"id": []}}, "holds no utterance"),
        ({"train": {"id": ["a"]}}, "train has no regression_labels"),
        ({"train": part(["a"], [1, 2])}, "regression_labels has 2 rows for 1 ids"),
        ({"train": part(["a"], [1], id=[3])}, "id must hold strings"),
        (
            {"train": part(["a"], [1], audio=np.ones((1, 1, 1, 1)))},
            "audio must be an array of numbers with 2 or 3",
        ),
        ({"train": part(["a", "b"], [1, 1], audio=[[1], [1, 2]])}, "audio must be an array of numbers"),
        ({"train": part(["a"], [1], audio=np.array([["x", "y"]]))}, "audio must be an array of numbers"),
        ({"train": part(["a"], [1], audio_lengths=[1, 2])}, "audio_lengths has 2 rows"),
        ({"train": part(["a"], [1], audio_lengths=[np.nan])}, "audio_lengths holds NaN or infinity"),
        (
            {"train": part(["a"], [1], audio=np.zeros((1, 3, 0)))},
            "audio has the shape .* which holds nothing",
        ),
        ({"train": part(["a"], [1], audio_lengths=["x"])}, "audio_lengths must be an array of numbers"),
        ({"train": part(["a"], [1], vision=7)}, "vision has 0 rows for 1 ids"),
        ({"train": {"id": 7}}, "holds no utterance"),
    ],
)
def test_another_layout_is_named(tmp_path, splits, message):
    (tmp_path / "features.pkl").write_bytes(pickle.dumps(splits))
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_widths_that_differ_between_splits_are_refused(tmp_path):
    save(tmp_path, train=part(["a"], [1]), test=part(["b"], [1], text=np.ones((1, 2, 5), np.float32)))
    with pytest.raises(UserError, match=r"text with widths \[4, 5\]"):
        encode(tmp_path, "t")


def test_of_several_pickles_one_must_be_named(tmp_path):
    save(tmp_path, train=part(["a"], [1]))
    (tmp_path / "unaligned_50.pkl").write_bytes(pickle.dumps({"train": part(["b"], [1])}))
    with pytest.raises(UserError, match=r"several pickles \(features.pkl, unaligned_50.pkl\)"):
        read(tmp_path)
    assert read(tmp_path, file="unaligned_50.pkl")[0][0].id == "b"
    assert read(tmp_path / "features.pkl")[0][0].id == "a"
    counted = corpus_inventory("mmsa", tmp_path, dataset="mosi", file="features.pkl", nonfinite="zero")
    assert counted["files"] == 1


def test_the_files_that_mmsa_hands_out_are_recognised(tmp_path, monkeypatch):
    aligned = {"audio": np.ones((1, 50, 74), np.float32), "vision": np.ones((1, 50, 35), np.float32),
               "text": np.ones((1, 50, 768), np.float32)}  # fmt: skip
    path = save(tmp_path, train=part(["a$_$1"], [1], **aligned))
    utterances = read(tmp_path)[0]
    unknown, features = corpus_findings("mmsa", tmp_path, utterances, dataset="mosei")
    assert unknown.level == "note" and "features.pkl is none of the four files" in unknown.text
    assert features.text == (
        "features: speech 74 wide, up to 50 steps; video 35 wide, up to 50 steps; text 768 wide, up to 50 steps"
    )
    monkeypatch.setitem(RELEASES, file_digest(path), ("CMU-MOSEI", "aligned"))
    known, _ = corpus_findings("mmsa", tmp_path, utterances, dataset="mosei")
    assert (known.level, known.text) == (
        "ok",
        "features.pkl is the aligned file of CMU-MOSEI that MMSA hands out (SHA-256)",
    )
    [counts] = corpus_published("mmsa", tmp_path, utterances, dataset="mosei")
    assert counts.counts == {"utterances": 22856} and len(RELEASES) == 5


def test_a_modality_without_a_column_is_absent(tmp_path):
    save(tmp_path, train=part(["a$_$1"], [1], vision=None))
    assert read(tmp_path)[0][0].video is None
    encoder, answers = encode(tmp_path, "v")
    assert encoder.dim == 0 and answers == []


@pytest.mark.skipif(not REAL.is_dir(), reason="the features in ../shared/data/mosi are not on this machine")
def test_the_real_features():
    utterances, rejected = read(REAL)
    assert rejected == [] and len(utterances) == 2199
    assert Counter(u.split for u in utterances) == {"train": 1150, "valid": 297, "test": 752}
    assert len({u.dialogue for u in utterances}) == 93
    assert all(-3 <= u.score <= 3 and u.text for u in utterances)
    for modality, dim in (("s", 73), ("v", 100), ("t", 100)):
        encoder = corpus_features("mmsa", REAL, modality, dataset="mosi")
        answers = list(encoder.encode(utterances))
        assert encoder.dim == dim
        assert [a.id for a in answers] == [u.id for u in utterances]
        assert all(a.frames.shape == (1, dim) for a in answers)
        assert encoder.replaced == {}
