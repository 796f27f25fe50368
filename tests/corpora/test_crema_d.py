"""CREMA-D: everything stands in the names."""

import miniatures

from cmarr.corpora.crema_d import PUBLISHED, WOMEN
from cmarr.corpora.registry import read_corpus
from cmarr.folds.split import split


def read(root):
    return read_corpus("crema_d", root, dataset="crema_d")


def test_a_clip_becomes_an_utterance_whatever_forms_are_there(tmp_path):
    miniatures.crema_d(tmp_path, actors=(1001, 1002))
    miniatures.sound(tmp_path / "AudioWAV/1002_IEO_SAD_HI.wav", 0.1)
    miniatures.film(tmp_path / "converted/1001_DFA_ANG_XX.mp4", 0.1)
    miniatures.film(tmp_path / "VideoFlash/1002_TSI_DIS_LO.flv", 0.1)
    miniatures.litter(tmp_path)
    utterances, rejected = read(tmp_path)
    assert rejected == []
    by_id = {u.id: u for u in utterances}
    both = by_id["1001_DFA_ANG_XX"]
    assert (both.label, both.speaker, both.sex, both.text) == ("angry", "1001", "m", "Don't forget a jacket")
    assert both.audio.endswith("AudioWAV/1001_DFA_ANG_XX.wav")
    assert both.video.endswith("converted/1001_DFA_ANG_XX.mp4")  # MP4 before the release's FLV
    assert both.ratings == {}
    sad = by_id["1002_IEO_SAD_HI"]
    assert (sad.sex, sad.video, sad.ratings) == ("f", None, {"level": 3.0})
    silent = by_id["1002_TSI_DIS_LO"]
    assert silent.audio == silent.video  # its sound is on the film, if anywhere


def test_wrong_names_are_rejected_with_the_reason(tmp_path):
    for name in ("1001_DFA_ANG_XX", "1040_ITH_SAD_X", "1001_DFA_ANG", "1092_DFA_ANG_XX", "1001_ABC_ANG_XX",
                 "1001_DFA_JOY_XX", "1001_DFA_ANG_ZZ"):  # fmt: skip
        miniatures.write(tmp_path / f"AudioWAV/{name}.wav", "x")
    utterances, rejected = read(tmp_path)
    assert [u.id for u in utterances] == ["1001_DFA_ANG_XX", "1040_ITH_SAD_X"]  # _X is in the release
    reasons = {r.id: r.reason for r in rejected}
    assert "not a clip's name" in reasons["1001_DFA_ANG"]
    assert "unknown actor 1092" in reasons["1092_DFA_ANG_XX"]
    assert "unknown sentence ABC" in reasons["1001_ABC_ANG_XX"]
    assert "unknown emotion JOY" in reasons["1001_DFA_JOY_XX"]
    assert "unknown level ZZ" in reasons["1001_DFA_ANG_ZZ"]


def test_folds_keep_speakers_apart_and_sexes_even(tmp_path):
    miniatures.crema_d(tmp_path, actors=range(1011, 1031))  # ten women, ten men
    utterances, _ = read(tmp_path)
    who = {u.id: (u.speaker, u.sex) for u in utterances}
    for fold in split(utterances, "speaker", 5):
        parts = [{who[i][0] for i in part} for part in (fold.train, fold.validation, fold.test)]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 20
        assert sorted(sex for _, sex in {who[i] for i in fold.test}) == ["f", "f", "m", "m"]


def test_the_published_counts_add_up():
    assert sum(n for key, n in PUBLISHED.items() if key != "utterances") == PUBLISHED["utterances"] == 7442
    assert len(WOMEN) == 43 and min(WOMEN) > 1000 and max(WOMEN) < 1092
