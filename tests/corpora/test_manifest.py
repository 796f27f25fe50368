"""A manifest is a table, and behaves as the list of its utterances."""

import pickle

import numpy as np
import pytest

from cmarr.corpora.manifest import ById, Manifest, read_manifest, relative_to, write_manifest
from cmarr.data.load import hear, load_store
from cmarr.errors import UserError
from cmarr.features.shards import FeatureTable
from cmarr.task import Task
from cmarr.utterance import Utterance

MANY = [
    Utterance(
        f"u{i:04d}",
        text="a word" if i % 3 else None,
        audio=f"/corpus/audio/{i}.wav" if i % 2 else None,
        label="calm",
        score=i / 7,
        start=0.5,
        ratings={"valence": 1.5} if i % 5 else {},
        words=(("a", 0.0, 0.5), ("word", 0.5, 1.0)) if i % 3 else (),
        audio_whole=bool(i % 2),
    )
    for i in range(2500)
]


@pytest.fixture
def manifest(tmp_path):
    write_manifest(tmp_path / "manifest.parquet", relative_to(MANY, "/corpus"))
    return read_manifest(tmp_path / "manifest.parquet")


def test_what_is_written_is_read_back(manifest):
    assert manifest[1].audio == "audio/1.wav"
    assert manifest.below("/corpus") == MANY
    assert len(manifest) == 2500 and [u.id for u in manifest] == manifest.ids()


def test_it_is_cut_counted_and_sent_like_a_list(manifest):
    whole = list(manifest)
    assert manifest[1020:1030] == whole[1020:1030] and manifest[::-700] == whole[::-700]
    assert manifest[-1] == whole[-1] and manifest[2499] == whole[2499]
    with pytest.raises(IndexError):
        manifest[2500]
    assert pickle.loads(pickle.dumps(manifest[3:5])) == whole[3:5]
    assert manifest != whole[:-1] and whole[7] in manifest
    assert manifest.where("audio") == [u for u in whole if u.audio is not None]


def test_one_is_found_by_its_name(manifest):
    found = ById(manifest)
    assert found["u0042"] == manifest[42] and "u2500" not in found and len(found) == 2500
    assert list(found.values()) == list(manifest) and dict(found.items()) == {u.id: u for u in manifest}
    with pytest.raises(KeyError):
        found["u2500"]


def test_a_store_goes_through_a_large_manifest_twice(manifest, monkeypatch):
    """Once for the dialogues, once for its own: what it takes an utterance does not grow with the corpus."""
    monkeypatch.setattr("cmarr.corpora.manifest._BLOCK", 20)
    made, decoded = [], Manifest._decoded
    monkeypatch.setattr(Manifest, "_decoded", lambda own, number: made.append(number) or decoded(own, number))
    found = ById(manifest[:])
    table = FeatureTable(manifest.ids(), np.ones((2500, 2), np.float16), np.arange(2501))
    heard = hear(found, {"s": table})
    assert sorted(made) == list(range(125))
    store = load_store(manifest.ids(), found, {"s": table}, Task(("calm",)), heard)
    assert sorted(made) == sorted(3 * list(range(125))) and len(store) == 2500


def test_two_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match="utterance u0001 appears twice"):
        write_manifest(tmp_path / "manifest.parquet", [MANY[1], MANY[1]])
