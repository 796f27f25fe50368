"""What lets a model answer from something else than what is felt: each kind is named, and a clean corpus is not."""

from dataclasses import replace

import pandas as pd
import pytest
import soundfile

from cmarr.analyses.corpus import section
from cmarr.analyses.study import Study
from cmarr.corpora.expected import Finding
from cmarr.corpora.headers import Header
from cmarr.folds.files import Fold
from cmarr.folds.hygiene import Corpus, hygiene
from cmarr.task import Task
from cmarr.utterance import Utterance

LABELS = ("angry", "happy", "neutral", "sad")


def clean(speakers=6, of_each=4):
    return [
        Utterance(
            f"{s}-{i}",
            text=f"words {s} {i}",
            audio=f"/nowhere/{s}-{i}.wav",
            label=LABELS[i % 4],
            speaker=f"speaker {'abcdefgh'[s]}",
            sex="fm"[s % 2],
        )
        for s in range(speakers)
        for i in range(of_each)
    ]


def told(utterances, headers=None, ranges=None, level="warning"):
    third = len(utterances) // 3
    ids = [u.id for u in utterances]
    folds = [Fold(1, ids[:third], ids[third : 2 * third], ids[2 * third :])]
    if headers is None:
        headers = {u.audio: Header(2.0, True, False) for u in utterances if u.audio}
    found = hygiene(Corpus(utterances, folds, headers, ranges or {}))
    return [f.text for f in found if f.level == level]


def test_a_clean_corpus_gives_no_finding():
    assert told(clean()) == told(clean(), level="note") == []


@pytest.mark.parametrize(
    "first, second",
    [
        ("1", "1.0"),
        ("Anna", "anna"),
        ("Anna", "Anna "),
        ("Actor_1", "actor 1"),
        ("Jose\u0301", "Jos\u00e9"),
        ("007", "7"),
    ],
)
def test_near_equal_speakers_are_named_and_the_fold_they_leak_through(first, second):
    utterances = clean()
    utterances[0], utterances[-1] = (
        replace(utterances[0], speaker=first),
        replace(utterances[-1], speaker=second),
    )
    (text,) = told(utterances)
    assert repr(first) in text and repr(second) in text
    assert "perhaps one speaker, on two sides of fold 1 (train and test)" in text


@pytest.mark.parametrize("names", [("Ann", "Anna"), ("1", "11"), ("F01", "M01"), ("+", "-")])
def test_different_speakers_are_not_near_equal(names):
    utterances = clean()
    utterances[0], utterances[1] = (replace(u, speaker=n) for u, n in zip(utterances, names, strict=False))
    assert told(utterances) == []


def test_one_recording_in_several_rows_is_named_with_what_differs():
    utterances = [replace(u, audio="/one.wav", start=None, end=None) for u in clean()]
    (text,) = told(utterances)
    assert text == (
        "1 recording in several rows each, with different labels and speakers (0-0, 0-1, 0-2, ...), on two sides of "
        "fold 1 (train, validation and test)"
    )


def test_a_part_that_the_table_spells_out_is_the_same_part():
    whole = clean()
    spans = [(None, None), (0.0, None), (None, 2.0), (0.0, 2.0), (0.0, 9.0)]
    for i, (start, end) in enumerate(spans):
        whole[i] = replace(whole[i], audio=whole[0].audio, start=start, end=end)
    [text] = told(whole)
    assert "1 recording in several rows each" in text and "0-0, 0-1, 0-2, ..." in text


def test_one_recording_cut_into_utterances_may_lie_on_one_side_only():
    cut = [replace(u, audio="/one.wav", start=float(i), end=i + 1.0) for i, u in enumerate(clean())]
    (text,) = told([*cut[:12], *clean()[12:]])
    assert text == (
        "1 recording with utterances in two parts of a fold (one.wav, on two sides of fold 1 (train and validation))"
    )
    assert told([*cut[:8], *clean()[8:]]) == []


def test_a_copy_under_another_name_is_the_same_recording(tmp_path):
    utterances = [replace(u, audio=str(tmp_path / f"{u.id}.wav")) for u in clean()]
    for i, u in enumerate(utterances):
        soundfile.write(u.audio, [0.01 * (0 if i in (0, 23) else i)] * 100, 16_000)
    (text,) = told(utterances)
    assert text.startswith("1 recording in several rows each (as copies under several names), with different")
    assert "(0-0, 5-3), on two sides of fold 1 (train and test)" in text


def test_speakers_of_a_single_class_are_a_warning():
    utterances = [replace(u, label=LABELS[int(u.id[0]) % 4] if int(u.id[0]) else u.label) for u in clean()]
    (text,) = told(utterances)
    assert text == "5 of 6 speakers hold a single class each: who speaks tells 88 % of the labels"


def test_one_of_every_speaker_says_nothing_about_speakers():
    assert told([replace(u, speaker=u.id) for u in clean()]) == []


def test_one_speaker_with_most_of_the_corpus_is_a_warning():
    utterances = [replace(u, speaker="ann" if i < 20 else f"x{i}") for i, u in enumerate(clean())]
    assert "speaker ann has 83 % of the utterances, the other 4 the rest" in told(utterances)


def test_two_sexes_of_one_speaker_are_a_warning():
    utterances = clean()
    utterances[0] = replace(utterances[0], sex="m")
    assert told(utterances) == ["1 speaker female in some rows and male in others (speaker a)"]


def test_transcripts_of_the_training_part_are_counted():
    utterances = clean()
    utterances[-1] = replace(utterances[-1], text=utterances[0].text)
    (text,) = told(utterances)
    assert text == "12 % of the test transcripts stand word for word in the training part of their fold, too"
    statements = [replace(u, text="Kids are talking by the door") for u in utterances]
    assert told(statements) == [] and "of 1 transcript in all" in told(statements, level="note")[0]


def test_a_clip_far_longer_than_its_table_says_is_a_warning():
    utterances = [replace(u, ratings={"seconds": 2.0}) for u in clean()]
    utterances[3] = replace(utterances[3], ratings={}, start=7.0, end=9.0, audio_whole=True)
    headers = {u.audio: Header(2.5, True, False) for u in utterances}
    assert told(utterances, headers) == []
    headers[utterances[3].audio] = headers[utterances[4].audio] = Header(250.0, True, False)
    (text,) = told(utterances, headers)
    assert text.startswith(
        "2 clips far longer than the corpus' table says: 0-3 lasts 250 s for 2 s, 1-0 lasts 250 s"
    )


def test_values_beyond_the_scale_are_a_warning():
    scored = [replace(u, score=i % 7 - 3.0, label=None) for i, u in enumerate(clean())]
    assert told(scored) == told(scored, ranges={"score": (-3.0, 3.0)}) == []
    scored[5] = replace(scored[5], score=-999.0)
    assert told(scored) == ["1 value of score far from what the others are (-999 of 1-1)"]
    assert told(scored, ranges={"score": (-3.0, 3.0)}) == [
        "1 value of score outside the corpus' -3 to 3 (-999 of 1-1)"
    ]
    rated = [replace(u, ratings={"sentiment": 0.0}) for u in clean()]
    rated[0] = replace(rated[0], ratings={"sentiment": 1.0})
    assert told(rated) == []


def test_the_report_says_it_beside_the_folds_and_in_the_sentence_on_leakage():
    doubts = [Finding("warning", "1 recording in several rows", "keep one"), Finding("note", "a note")]
    utterances = clean()
    folds = [Fold(1, [u.id for u in utterances[:8]], [utterances[8].id], [u.id for u in utterances[9:]])]
    study = Study("own", Task(LABELS), {}, {}, {}, {}, {})
    rejected = pd.DataFrame(columns=["id", "modality", "stage", "reason"])
    vars(study).update(utterances=utterances, folds=folds, available={}, headers={}, rejected=rejected)
    vars(study).update(fold_rule="1 fold.", doubts=doubts)
    made = section(study)
    (table,) = (block for block in made.blocks if getattr(block, "name", "") == "folds")
    assert list(table.notes) == ["1 fold.", "1 recording in several rows. keep one.", "a note."]
    assert study.leakage == "1 fold. But: 1 recording in several rows."
