"""IEMOCAP on a miniature tree in its exact layout, with the quirks of its releases."""

from collections import Counter
from pathlib import Path

import miniatures
import pytest

from cmarr.corpora.iemocap import published, who
from cmarr.corpora.labels import select_labels
from cmarr.corpora.manifest import read_manifest, relative_to, write_manifest
from cmarr.corpora.registry import corpus_inventory, read_corpus
from cmarr.errors import UserError
from cmarr.folds.split import split
from cmarr.media.clips import Clip, clip_of


def read(root):
    return read_corpus("iemocap", root, dataset="iemocap")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = miniatures.iemocap(tmp_path_factory.mktemp("iemocap"))
    miniatures.litter(root)
    return root, *read(root)


def test_every_turn_becomes_an_utterance(corpus):
    root, utterances, rejected = corpus
    assert rejected == []
    assert len(utterances) == 5 * 2 * 14
    by_id = {u.id: u for u in utterances}
    turn = by_id["Ses02F_impro01_M001"]
    assert turn.text == "Say hap, please."
    assert (turn.label, turn.speaker, turn.sex) == ("happy", "Ses02M", "m")
    assert (turn.session, turn.dialogue) == ("Session2", "Ses02F_impro01")
    base = root / "IEMOCAP_full_release/Session2"
    assert turn.audio == str(base / "sentences/wav/Ses02F_impro01/Ses02F_impro01_M001.wav")
    assert turn.video == str(base / "dialog/avi/DivX/Ses02F_impro01.avi")
    assert (turn.start, turn.end) == (0.6, 0.8)


def test_the_wearer_of_the_markers_sits_left(corpus):
    crops = {(u.dialogue[5], u.id.rsplit("_", 1)[1][0]): u.crop for u in corpus[1]}
    assert crops == {("F", "F"): "left", ("M", "M"): "left", ("F", "M"): "right", ("M", "F"): "right"}


def test_times_are_places_in_the_dialogue_and_not_in_the_sentence(corpus):
    turn = corpus[1][3]
    assert turn.start > 0
    assert clip_of(turn, "v") == Clip(turn.video, turn.start, turn.end, turn.crop)
    assert clip_of(turn, "s") == Clip(turn.audio)


def test_ratings_and_times_of_words_are_kept(corpus):
    by_id = {u.id: u for u in corpus[1]}
    assert by_id["Ses01F_impro01_F000"].ratings == {"valence": 2.5, "arousal": 3.5, "dominance": 4.0}
    assert by_id["Ses01F_impro01_M001"].ratings == {"arousal": 2.5, "dominance": 3.0}  # valence was NaN
    assert by_id["Ses01F_impro01_F000"].words == (("say", 0.23, 0.34), ("please", 0.51, 0.61))
    assert by_id["Ses01F_impro01_F001"].words == ()


def test_four_and_six_classes_come_from_the_same_labels(corpus):
    utterances = corpus[1]
    assert Counter(u.label for u in utterances)[None] == 20  # xxx: no agreement
    four, told = select_labels(utterances, ["angry", "happy", "neutral", "sad"], {"excited": "happy"})
    assert told.per_class == {"angry": 20, "happy": 40, "neutral": 20, "sad": 20}
    assert told.dropped == {"frustrated": 20} and told.unlabelled == 20
    six = select_labels(utterances, ["angry", "excited", "frustrated", "happy", "neutral", "sad"])[1]
    assert six.kept == 120
    assert len(four) == 100


@pytest.mark.parametrize(("scheme", "n"), [("session", 5), ("mmin", 10)])
def test_no_speaker_is_on_two_sides(corpus, scheme, n):
    utterances = corpus[1]
    speaker = {u.id: u.speaker for u in utterances}
    labelled = [u.id for u in utterances if u.label is not None]
    folds = split(utterances, scheme)
    assert len(folds) == n
    for fold in folds:
        train, validation, test = (
            {speaker[i] for i in part} for part in (fold.train, fold.validation, fold.test)
        )
        assert not train & validation and not train & test and not validation & test
    # each with a label once; one without can only be learnt from
    assert sorted(i for fold in folds for i in fold.test) == sorted(labelled)
    assert {i for fold in folds for i in fold.validation} == set(labelled)
    assert {i for fold in folds for i in fold.train} == set(speaker)


def test_the_manifest_holds_all_of_it(corpus, tmp_path):
    root, utterances, _ = corpus
    write_manifest(tmp_path / "manifest.parquet", relative_to(utterances, root))
    assert read_manifest(tmp_path / "manifest.parquet").below(root) == utterances


def test_the_files_that_are_used_make_the_inventory(corpus):
    root = corpus[0]
    found = corpus_inventory("iemocap", root, dataset="iemocap")
    assert found["files"] == 140 + 3 * 10 + 5  # sentences; labels, transcripts, videos; alignments
    (root / "IEMOCAP_full_release/Session1/dialog/MOCAP_head/more.txt").write_text("x")
    assert corpus_inventory("iemocap", root, dataset="iemocap") == found


@pytest.mark.parametrize(
    "variant",
    [{"folder": "."}, {"emo": "emoevaluation"}, {"transcripts": "Transcripts"}, {"folder": "a/b/IEMOCAP"}],
)
def test_releases_differ_in_nesting_and_spelling(tmp_path, variant):
    miniatures.iemocap(tmp_path, sessions=(1, 2, 3), media=False, **variant)
    utterances, rejected = read(tmp_path)
    assert len(utterances) == 3 * 28 and rejected == []
    assert all(u.text for u in utterances)


def test_a_missing_transcript_leaves_the_other_modalities(tmp_path):
    miniatures.iemocap(tmp_path, sessions=(1,))
    next(tmp_path.rglob("transcriptions/Ses01F_impro01.txt")).unlink()
    utterances, rejected = read(tmp_path)
    assert {u.dialogue: u.text is None for u in utterances} == {
        "Ses01F_impro01": True,
        "Ses01M_impro01": False,
    }
    assert rejected == [] and all(u.audio and u.video for u in utterances)


def test_a_transcript_that_is_not_utf8_is_read_as_windows_1252(tmp_path):
    miniatures.iemocap(tmp_path, sessions=(1,), media=False)
    path = next(tmp_path.rglob("transcriptions/Ses01F_impro01.txt"))
    path.write_bytes(b"Ses01F_impro01_F000 [006.2901-008.2357]: It\x92s a caf\xe9.\r\n")
    assert read(tmp_path)[0][0].text == "It’s a café."


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "[6.29 - 8.23]\tSes01F_impro01_F099\tnue\t[2.5, 2.5, 2.5]",
            "unknown label 'nue'; there are ang, hap",
        ),
        ("[8.29 - 6.23]\tSes01F_impro01_F099\tneu\t[2.5, 2.5, 2.5]", "starts at 8.29 s and ends at 6.23 s"),
        ("[6.29 - ]\tSes01F_impro01_F099\tneu\t[2.5, 2.5, 2.5]", "not a label line like"),
        ("[6.29 - 8.23]\tSes01F_impro01_F099", "not a label line like"),
        (" [6.29 - 8.23]\tSes01F_impro01_F099\tnue\t[2.5, 2.5, 2.5]", "unknown label 'nue'"),
        ("6.29 - 8.23]\tSes01F_impro01_F099\tneu\t[2.5, 2.5, 2.5]", "not a label line like"),
        ("[6.29 - 8.23]\tSes02F_impro01_F099\tneu\t[2.5, 2.5, 2.5]", "is no turn of Ses01F_impro01"),
    ],
)
def test_a_broken_label_line_is_rejected_with_its_place(tmp_path, line, reason):
    miniatures.iemocap(tmp_path, sessions=(1,), media=False)
    path = next(tmp_path.rglob("EmoEvaluation/Ses01F_impro01.txt"))
    path.write_text(path.read_text() + "\n" + line + "\n")
    utterances, [rejected] = read(tmp_path)
    assert len(utterances) == 28
    assert reason in rejected.reason
    assert "EmoEvaluation/Ses01F_impro01.txt, line" in rejected.reason


def test_a_folder_without_sessions_says_what_was_expected(tmp_path):
    with pytest.raises(UserError, match=r"datasets.iemocap.root: .*expected: Session1 ... Session5"):
        read(tmp_path)


def test_names_say_who_speaks():
    assert who("Ses05F_script03_2_M017") == {
        "speaker": "Ses05M",
        "sex": "m",
        "session": "Session5",
        "dialogue": "Ses05F_script03_2",
    }
    assert who("MSP-IMPROV-S01A-F01-S-FM01") == {}


def test_the_published_counts_add_up():
    [counts] = published(Path(), [])
    labels = {k: n for k, n in counts.counts.items() if k not in ("utterances", "happy+excited")}
    assert sum(labels.values()) == counts.counts["utterances"] == 10039
    for key in ("angry", "happy+excited", "neutral", "sad"):
        assert sum(group[key] for group in counts.groups.values()) == counts.counts[key]
    assert sum(counts.counts[k] for k in ("angry", "happy+excited", "neutral", "sad")) == 5531
