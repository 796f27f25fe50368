"""Corpora that models are tested on beside their own: what fits, and what is refused with the reason."""

import pytest

from cmarr.errors import UserError
from tests.settings.test_variants import differing, resolved


def crossing(tmp_path, *names, **changes):
    keys = [(tuple(path.split("/")), value) for path, value in changes.items()]
    return resolved(tmp_path, (("cross",), list(names)), *keys)


def test_another_corpus_gets_settings_of_its_own_and_nothing_else_changes(tmp_path):
    alone = resolved(tmp_path)
    crossed = crossing(tmp_path, "ravdess")
    stages = ("corpus", "prepare", "speech", "video", "text")
    assert differing(alone, crossed) == {"transfer", *(f"cross/ravdess/{stage}" for stage in stages)}
    assert crossed["cross/ravdess/prepare"]["kind"] == "ravdess"
    assert crossed["cross/ravdess/speech"] == alone["speech"]  # the same encoder
    assert crossed["report"]["cross"] == ["ravdess"]


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ("demo", "cross: demo is the dataset itself"),
        ("ravdes", "cross: 'ravdes' has no section under 'datasets'; did you mean 'ravdess'"),
        ("mosi", "cross: mosi is for regression, demo for classification; no model answers both"),
        ("crema_d", "cross: crema_d has the classes disgust, fearful, which models of demo do not know"),
        ("iemocap_mmin", "cross: iemocap_mmin takes its features from the corpus itself, demo from encoders"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, other, sentence):
    with pytest.raises(UserError, match=sentence):
        crossing(tmp_path, other)


def test_classes_are_mapped_by_merge(tmp_path):
    four = ["angry", "happy", "neutral", "sad"]
    params = {"datasets/crema_d/classes": four, "datasets/crema_d/merge": {"disgust": "angry"}}
    assert crossing(tmp_path, "crema_d", **params)["cross/crema_d/prepare"]["merge"] == {"disgust": "angry"}
