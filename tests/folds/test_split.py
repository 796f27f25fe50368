"""Folds: everyone is tested once, nobody is on two sides, and what cannot be done is said."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmarr.corpora.registry import read_corpus
from cmarr.errors import UserError
from cmarr.folds.files import ROLES, Fold, read_folds, read_rule, write_folds
from cmarr.folds.split import check_folds, describe_rule, recurring_speakers, split
from cmarr.utterance import Utterance

DATA = Path(__file__).parents[3] / "shared/data"
CLASSES = ("angry", "sad")


def corpus(speakers, per_speaker=4):
    """(speaker, session, sex) -> utterances that alternate between the classes."""
    return [
        Utterance(f"{who}-{i}", text="x", label=CLASSES[i % 2], speaker=who, session=session, sex=sex)
        for who, session, sex in speakers
        for i in range(per_speaker)
    ]


def dyads(*sessions):
    return corpus([(f"{s}{sex}", s, sex) for s in sessions for sex in "fm"])


def sessions_of(ids):
    return sorted({id.split("-")[0][:-1] for id in ids})


def test_each_session_is_tested_once_and_the_next_one_validates():
    folds = split(dyads("Ses10", "Ses2", "Ses1"), "session", classes=CLASSES)
    assert [
        (f.number, sessions_of(f.test), sessions_of(f.validation), sessions_of(f.train)) for f in folds
    ] == [
        (1, ["Ses1"], ["Ses2"], ["Ses10"]),
        (2, ["Ses2"], ["Ses10"], ["Ses1"]),
        (3, ["Ses10"], ["Ses1"], ["Ses2"]),
    ]


def test_the_ids_of_a_part_stay_in_the_order_of_the_manifest():
    utterances = dyads("1", "2", "3", "4")[::-1]
    order = [u.id for u in utterances]
    for fold in split(utterances, "session"):
        assert fold.train == [id for id in order if id in set(fold.train)]


def test_groups_of_speakers_are_even_in_sex_size_and_labels():
    utterances = corpus([(f"{sex}{i}", None, sex) for sex in "fm" for i in range(12)])
    folds = split(utterances, "speaker", 5, classes=CLASSES)
    groups = [{id.split("-")[0] for id in fold.test} for fold in folds]
    assert [sorted(g) for g in groups] == [
        sorted({i.split("-")[0] for i in folds[k - 1].validation}) for k in range(5)
    ]
    assert sorted(len(g) for g in groups) == [4, 5, 5, 5, 5]
    for sex in "fm":
        assert sorted(sum(s[0] == sex for s in g) for g in groups) == [2, 2, 2, 3, 3]


def test_large_and_small_speakers_are_spread():
    utterances = [
        Utterance(f"{who}-{i}", text="x", label="sad", speaker=who)
        for who, n in {"a": 30, "b": 30, "c": 30, "d": 10, "e": 10, "f": 10}.items()
        for i in range(n)
    ]
    assert [len(fold.test) for fold in split(utterances, "speaker", 3)] == [40, 40, 40]


def test_speakers_of_one_label_are_spread_too():
    utterances = [
        Utterance(f"{label}{who}-{i}", text="x", label=label, speaker=f"{label}{who}")
        for label in CLASSES
        for who in range(3)
        for i in range(8)
    ]
    for fold in split(utterances, "speaker", 3, classes=CLASSES):
        assert Counter(id[:3] for id in fold.test) == {"ang": 8, "sad": 8}


def test_another_seed_gives_other_groups_and_the_same_seed_the_same():
    utterances = corpus([(f"s{i}", None, None) for i in range(10)])
    assert split(utterances, "speaker", 5, seed=1) == split(utterances, "speaker", 5, seed=1)
    assert split(utterances, "speaker", 5, seed=1) != split(utterances, "speaker", 5, seed=2)
    assert {frozenset(f.test) for f in split(utterances[::-1], "speaker", 5)} == {
        frozenset(f.test) for f in split(utterances, "speaker", 5)
    }


def official(**speakers):
    return [
        Utterance(f"{part}{i}", text="x", label=CLASSES[i], speaker=speakers.get(part), split=part)
        for part in ("train", "valid", "test")
        for i in range(2)
    ]


def test_the_official_split_is_one_fold_and_reports_speakers_that_recur():
    utterances = official(train="ann", valid="bob", test="ann")
    folds = split(utterances, "official", classes=CLASSES)
    assert folds == [Fold(1, ["train0", "train1"], ["valid0", "valid1"], ["test0", "test1"])]
    assert recurring_speakers(utterances, folds) == ["ann"]
    assert describe_rule(utterances, folds, "official") == (
        "Official split (train/validation/test 2/2/2); 1 speaker is in more than one part."
    )


def test_the_mmin_family_tests_one_speaker_and_validates_on_the_partner():
    folds = split(dyads("Ses10", "Ses2", "Ses1"), "mmin", classes=CLASSES)

    def speakers(ids):
        return sorted({id.split("-")[0] for id in ids})

    assert [(f.number, speakers(f.test), speakers(f.validation)) for f in folds] == [
        (1, ["Ses1f"], ["Ses1m"]),
        (2, ["Ses1m"], ["Ses1f"]),
        (3, ["Ses2f"], ["Ses2m"]),
        (4, ["Ses2m"], ["Ses2f"]),
        (5, ["Ses10f"], ["Ses10m"]),
        (6, ["Ses10m"], ["Ses10f"]),
    ]
    assert all(len(speakers(f.train)) == 4 for f in folds)
    assert describe_rule(dyads("1", "2", "3"), folds, "mmin").startswith(
        "6 folds, one a speaker, whose partners"
    )


def test_the_rule_is_a_sentence_for_every_scheme():
    utterances = dyads("1", "2", "3")
    assert describe_rule(utterances, split(utterances, "session"), "session") == (
        "3 folds, leave one session out, the next session validates; no speaker on two sides."
    )
    assert describe_rule(utterances, split(utterances, "speaker", 3), "speaker") == (
        "3 folds grouped by speaker (6 speakers, sex-balanced), the next group validates; no speaker on two sides."
    )
    women = [u if u.speaker == "3m" else replace(u, sex="f") for u in utterances]
    told = describe_rule(women, split(women, "speaker", 3), "speaker")
    assert "not sex-balanced: women 2/2/1 and men 0/0/1 in the test parts" in told
    videos = [replace(u, dialogue=u.split) for u in official()]
    assert describe_rule(videos, split(videos, "official"), "official").endswith(
        "speakers not known, they may be in more than one part; no recording is in two parts."
    )


@pytest.mark.parametrize(
    "utterances, scheme, n_folds, message",
    [
        (dyads("1", "2"), "session", 5, "needs three sessions .*there are 2 .1, 2.; set folds: speaker"),
        ([Utterance("a", session="1"), Utterance("b")], "session", 5, "utterance b has no session"),
        (corpus([("ann", s, "f") for s in "123"]), "session", 5, "speaker ann is in the sessions 1 and 2"),
        ([Utterance("a", speaker="A"), Utterance("b")], "speaker", 3, "utterance b has no speaker"),
        (dyads("1", "2"), "speaker", 5, "n_folds: 5 groups of the 4 speakers"),
        (dyads("1", "2"), "speaker", 2, "n_folds: 2 .*at least 3"),
        (dyads("1") + corpus([("1f", "1", "m")]), "speaker", 3, "speaker 1f is f and m"),
        ([Utterance("a", split="train"), Utterance("b")], "official", 1, "utterance b has the split None"),
        (
            [Utterance("a", split="train"), Utterance("b", split="test")],
            "official",
            1,
            "fold 1 has no utterance for",
        ),
        (dyads("1", "2") + corpus([("3f", "3", "f")]), "mmin", 5, "speaker 3f is alone in session 3"),
        ([Utterance(s, session=s) for s in "123"], "mmin", 5, "utterance 1 has no speaker"),
        (
            dyads("1", "2", "3"),
            "sesion",
            5,
            "'sesion' is not a scheme; there are session, speaker, mmin, official",
        ),
    ],
)
def test_what_a_scheme_needs_and_the_corpus_lacks_is_said(utterances, scheme, n_folds, message):
    with pytest.raises(UserError, match=message):
        split(utterances, scheme, n_folds)


def test_a_class_that_no_training_utterance_has_names_fold_and_class():
    utterances = [replace(u, label="happy") if u.id.startswith("3f") else u for u in dyads("1", "2", "3")]
    with pytest.raises(UserError, match="fold 2: no training utterance is labelled 'happy'"):
        split(utterances, "session", classes=("sad", "happy"))
    assert len(split(utterances, "session")) == 3


def test_the_check_finds_a_leak_whoever_made_the_folds():
    utterances = [Utterance(id, speaker=who) for id, who in (("a", "A"), ("b", "B"), ("c", "C"), ("a2", "A"))]
    check_folds(utterances, [Fold(1, ["a", "a2"], ["b"], ["c"])])
    with pytest.raises(UserError, match="fold 1: speaker A is in more than one of"):
        check_folds(utterances, [Fold(1, ["a"], ["b"], ["c", "a2"])])
    with pytest.raises(UserError, match="fold 2: utterance c is in validation and in test"):
        check_folds(utterances, [Fold(2, ["a"], ["c"], ["c"])])


@pytest.mark.parametrize("one, other", list(combinations(ROLES, 2)))
def test_no_two_parts_share_an_utterance_or_a_speaker(one, other):
    """Each pair of them: an utterance that trains and validates leaks as one that trains and tests does."""
    lone = {role: [role] for role in ROLES} | {one: ["shared", one], other: ["shared", other]}
    with pytest.raises(UserError, match=f"utterance shared is in {one} and in {other}"):
        check_folds([Utterance(id) for id in ("shared", *ROLES)], [Fold(1, **lone)])
    speakers = [Utterance(f"{role}{i}", speaker=f"{role}{i}") for role in ROLES for i in range(2)]
    speakers = [replace(u, speaker="ann") if u.id in (f"{one}0", f"{other}1") else u for u in speakers]
    apart = {role: [f"{role}0", f"{role}1"] for role in ROLES}
    assert recurring_speakers(speakers, [Fold(1, **apart)]) == ["ann"]
    with pytest.raises(UserError, match="fold 1: speaker ann is in more than one of"):
        check_folds(speakers, [Fold(1, **apart)])


def test_folds_come_back_from_their_file_and_the_file_has_the_same_bytes_each_time(tmp_path):
    utterances = dyads("1", "2", "3")
    folds = split(utterances, "session")
    one, two = tmp_path / "folds.parquet", tmp_path / "again.parquet"
    write_folds(one, folds, "Three folds.")
    write_folds(two, read_folds(one), read_rule(one))
    assert read_folds(one) == folds
    assert read_rule(one) == "Three folds."
    assert one.read_bytes() == two.read_bytes()


@st.composite
def corpora(draw):
    """Between 3 and 12 speakers of any sex, in sessions of their own, with any number of utterances."""
    n = draw(st.integers(3, 12))
    sexes = draw(st.lists(st.sampled_from(["f", "m", None]), min_size=n, max_size=n))
    sizes = draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
    sessions = [i if i < 3 else draw(st.integers(0, 3)) for i in range(n)]
    rows = [
        Utterance(
            f"{i}-{j}",
            text="x",
            label=draw(st.sampled_from("ab")),
            speaker=f"S{i}",
            sex=sexes[i],
            session=str(s),
        )
        for i, s in enumerate(sessions)
        for j in range(sizes[i])
    ]
    return draw(st.permutations(rows)), draw(st.integers(3, n))


@given(corpora(), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_everyone_is_tested_once_and_no_speaker_is_on_two_sides(drawn, seed):
    utterances, n_folds = drawn
    ids = [u.id for u in utterances]
    for scheme in ("session", "speaker"):
        folds = split(utterances, scheme, n_folds, seed)
        assert folds == split(utterances, scheme, n_folds, seed)
        assert Counter(id for f in folds for id in f.test) == Counter(ids)
        assert Counter(id for f in folds for id in f.validation) == Counter(ids)
        assert recurring_speakers(utterances, folds) == []
        for fold in folds:
            assert sorted(fold.train + fold.validation + fold.test) == sorted(ids)
    assert len(folds) == n_folds
    for sex in ("f", "m", None):
        counts = [len({u.speaker for u in utterances if u.sex == sex and u.id in set(f.test)}) for f in folds]
        assert max(counts) - min(counts) <= 1


@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings in ../shared/data are not on this machine")
def test_folds_of_the_real_corpora():
    clips, _ = read_corpus("ravdess", DATA / "ravdess", dataset="ravdess")
    classes = ("angry", "happy", "neutral", "sad")
    folds = split(clips, "speaker", 5, classes=classes)
    by_id = {u.id: u for u in clips}
    assert sorted(len(fold.test) for fold in folds) == [112, 140, 140, 140, 140]
    for fold in folds:
        sexes = Counter({by_id[id].speaker: by_id[id].sex for id in fold.test}.values())
        assert abs(sexes["f"] - sexes["m"]) <= 1
        labels = Counter(by_id[id].label for id in fold.test)
        assert labels["angry"] == labels["happy"] == labels["sad"] == 2 * labels["neutral"]
    opinions, _ = read_corpus("mmsa", DATA / "mosi", dataset="mosi")
    [fold] = split(opinions, "official")
    assert [len(fold.train), len(fold.validation), len(fold.test)] == [1150, 297, 752]


def test_utterances_without_a_label_are_learnt_from_and_neither_validate_nor_are_tested():
    utterances = dyads("Ses1", "Ses2", "Ses3")
    utterances = [replace(u, label=None) if u.id.endswith("-3") else u for u in utterances]
    for fold in split(utterances, "session", classes=CLASSES):
        assert sum(id.endswith("-3") for id in fold.train) == 2
        assert not any(id.endswith("-3") for id in [*fold.validation, *fold.test])
