"""MELD on a miniature of its three parts."""

from collections import Counter
from pathlib import Path

import miniatures
import pytest

from cmarr.corpora.meld import published
from cmarr.corpora.registry import corpus_findings, read_corpus
from cmarr.errors import UserError
from cmarr.folds.split import describe_rule, split


def read(root):
    return read_corpus("meld", root, dataset="meld")


def test_a_row_becomes_an_utterance_of_its_part(tmp_path):
    miniatures.meld(tmp_path)
    miniatures.litter(tmp_path)
    utterances, rejected = read(tmp_path)
    assert rejected == [] and Counter(u.split for u in utterances) == {"train": 7, "valid": 7, "test": 7}
    by_id = {u.id: u for u in utterances}
    clip = by_id["dev_dia0_utt3"]
    assert (clip.label, clip.speaker, clip.dialogue, clip.text) == ("happy", "Rachel", "dev_dia0", "line 3")
    assert clip.audio == clip.video == str(tmp_path / "dev_splits_complete/dia0_utt3.mp4")
    assert clip.ratings == {"sentiment": -1.0, "seconds": 5.672} and clip.start is None
    assert by_id["test_dia0_utt3"].video == str(tmp_path / "output_repeated_splits_test/dia0_utt3.mp4")
    assert by_id["train_dia0_utt0"].video is None  # its clip is not there: text alone


def test_apostrophes_of_another_encoding_become_apostrophes(tmp_path):
    miniatures.meld(tmp_path)
    assert read(tmp_path)[0][0].text == "Oh my God, he’s lost it."
    path = tmp_path / "dev_sent_emo.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))  # not UTF-8 any more
    assert read(tmp_path)[0][0].text == "Oh my God, he’s lost it."
    (finding,) = corpus_findings("meld", tmp_path, [], dataset="meld")
    assert finding.text == "dev_sent_emo.csv is not UTF-8; it was read as Windows-1252 (Western), a guess"


def test_the_official_split_says_that_speakers_recur(tmp_path):
    utterances = read(miniatures.meld(tmp_path))[0]
    folds = split(utterances, "official")
    assert describe_rule(utterances, folds, "official") == (
        "Official split (train/validation/test 7/7/7); 3 speakers are in more than one part."
    )


def test_broken_rows_are_rejected_and_broken_tables_refused(tmp_path):
    miniatures.meld(tmp_path)
    path = tmp_path / "train_sent_emo.csv"
    header = path.read_text().split("\n")[0]
    path.write_text(
        f"{header}\n1,a,Ross,joy,positive,0,1,,,,\n2,b,Ross,glee,positive,0,2,,,,\n3,c,Ross,joy,positive,x,1,,,,\n4,d\n"
    )
    utterances, rejected = read(tmp_path)
    assert sum(u.split == "train" for u in utterances) == 1
    assert [r.id for r in rejected] == ["train line 3", "train line 4", "train line 5"]
    assert (
        "unknown emotion 'glee'" in rejected[0].reason and "train_sent_emo.csv, line 3" in rejected[0].reason
    )
    path.write_text("Utterance,Speaker\na,Ross\n")
    with pytest.raises(UserError, match=r"train_sent_emo.csv lacks the column Emotion, Sentiment"):
        read(tmp_path)


def test_without_tables_it_says_which(tmp_path):
    with pytest.raises(UserError, match=r"holds none of train_sent_emo.csv, dev_sent_emo.csv"):
        read(tmp_path)


def test_the_published_counts_add_up():
    [counts] = published(Path(), [])
    assert counts.counts["utterances"] == 13708
    for group in [counts.counts, *counts.groups.values()]:
        assert sum(n for key, n in group.items() if key != "utterances") == group["utterances"]
