"""MSP-IMPROV on a miniature tree: both nestings, both spellings, the published subset, the list of ids."""

from collections import Counter
from pathlib import Path

import miniatures
import pytest

from cmarr.corpora.msp_improv import Options, published
from cmarr.corpora.registry import read_corpus
from cmarr.errors import UserError
from cmarr.folds.split import split


def read(root, **options):
    return read_corpus("msp_improv", root, dataset="msp_improv", **options)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = miniatures.msp_improv(tmp_path_factory.mktemp("msp"))
    miniatures.litter(root)
    return root, *read(root)


def test_a_block_becomes_an_utterance(corpus):
    root, utterances, rejected = corpus
    turn = utterances[0]
    assert (turn.id, turn.label, turn.text) == ("MSP-IMPROV-S01A-F01-S-FM01", "angry", "take 1")
    assert (turn.speaker, turn.sex, turn.session) == ("F01", "f", "session1")
    assert turn.dialogue == "session1-S01A-S"
    assert turn.audio == str(root / "Audio/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav")
    assert turn.video == str(root / "Video/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.avi")
    assert rejected == []


def test_activation_is_turned_the_right_way_round_and_nan_left_out(corpus):
    assert corpus[1][0].ratings == {"arousal": 4.0, "valence": 3.5, "naturalness": 4.2}
    assert corpus[1][1].ratings["arousal"] == pytest.approx(3.2)


def test_the_published_subset_is_scenario_s(corpus):
    root, utterances, _ = corpus
    assert len(utterances) == 72 and all(u.id.split("-")[4] == "S" for u in utterances)
    assert Counter(u.label for u in utterances) == dict.fromkeys(
        ("angry", "happy", "sad", "neutral", "other", None), 12
    )
    assert len(read(root, subset="all")[0]) == 144


def test_a_list_of_ids_narrows_the_subset(corpus):
    root = corpus[0]
    (root / "ids.txt").write_text("MSP-IMPROV-S01A-F01-S-FM01\nUTD-IMPROV-S01A-F02-S-FM02.avi\n\n")
    utterances, rejected = read(root, ids="ids.txt")
    assert [u.id for u in utterances] == ["MSP-IMPROV-S01A-F01-S-FM01", "MSP-IMPROV-S01A-F02-S-FM02"]
    assert rejected == []
    (root / "ids.txt").write_text("MSP-IMPROV-S09A-F01-S-FM01\nMSP-IMPROV-S01A-F01-S-FM01\n")
    assert [r.reason for r in read(root, ids="ids.txt")[1]] == ["ids.txt names it, but it has no label"]
    (root / "ids.txt").write_text("FM01\n")
    with pytest.raises(UserError, match=r"ids.txt: 'FM01' is not a name like MSP-IMPROV"):
        read(root, ids="ids.txt")
    with pytest.raises(UserError, match=r"nowhere.txt does not exist; options.ids"):
        read(root, ids="nowhere.txt")


@pytest.mark.parametrize(
    "variant",
    [
        {"nested": False},
        {"evaluation": "Evaluation.txt"},
        {"transcripts": "Text"},
        {"evaluation": "evalution.TXT"},
    ],
)
def test_releases_differ_in_nesting_and_spelling(tmp_path, variant):
    miniatures.msp_improv(tmp_path, **variant)
    utterances, rejected = read(tmp_path)
    assert len(utterances) == 72 and rejected == []
    assert all(u.audio and u.video and u.text for u in utterances)


@pytest.mark.parametrize(("scheme", "n"), [("session", 6), ("mmin", 12)])
def test_no_speaker_is_on_two_sides(corpus, scheme, n):
    speaker = {u.id: u.speaker for u in corpus[1]}
    folds = split(corpus[1], scheme)
    assert len(folds) == n
    for fold in folds:
        parts = [{speaker[i] for i in part} for part in (fold.train, fold.validation, fold.test)]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 12


def test_broken_blocks_and_turns_without_any_file_are_rejected(tmp_path):
    miniatures.msp_improv(tmp_path)
    path = tmp_path / "Evalution.txt"
    path.write_text(
        path.read_text()
        + "UTD-IMPROV-S01A-F01-S-FM77.avi; Q; A:2.8;\n\nUTD-IMPROV-F01.avi; N; A:2.8;\nUTD-\n"
        + "  utd-improv-S01A-F01-S-FM79.avi; Q; A:2.8;\n"
        + "UTD-IMPROV-S01A-F01-S-FM78.avi; N; A:x; V:; D:9e999;\n"
    )
    utterances, rejected = read(tmp_path)
    reasons = sorted(r.reason for r in rejected if "Evalution.txt" in r.reason)
    assert len(reasons) == 4
    assert sum("unknown label 'Q'" in r for r in reasons) == 2
    assert sum("not a label line like" in r for r in reasons) == 2
    assert [r.reason for r in rejected if r.id.endswith("FM78")] == ["it has no audio, no video and no text"]
    assert len(utterances) == 72


def test_without_an_evaluation_nothing_has_a_label(tmp_path):
    miniatures.msp_improv(tmp_path)
    (tmp_path / "Evalution.txt").unlink()
    with pytest.raises(UserError, match=r"holds no Evaluation.txt \(nor Evalution.txt\)"):
        read(tmp_path)
    with pytest.raises(
        UserError, match=r"options.subset: input should be 'published' or 'all', not 'publishd'"
    ):
        read(tmp_path, subset="publishd")
    with pytest.raises(UserError, match=r"options.ids: input should be a valid string, not 5"):
        read(tmp_path, ids=5)


def test_both_published_counts_are_reported():
    without, with_face = published(Path(), [], Options())
    assert sum(without.counts.values()) == 3940 and sum(with_face.counts.values()) == 3819
    [whole] = published(Path(), [], Options(subset="all"))
    four = sum(whole.counts[k] for k in ("angry", "happy", "neutral", "sad"))
    assert four == 7798 and four + whole.counts["other+no label"] == whole.counts["utterances"] == 8438
