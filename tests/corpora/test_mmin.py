"""The MMIN family's feature tree: features come with the corpus, read in a worker process."""

import h5py
import miniatures
import numpy as np
import pytest

from cmarr.corpora.registry import corpus_features, corpus_findings, read_corpus
from cmarr.encoders.protocol import Encoder, is_absence
from cmarr.errors import UserError
from cmarr.features.extract import extract
from cmarr.features.shards import read_features
from cmarr.folds.split import split
from cmarr.utterance import Rejected, Utterance


def read(root, **options):
    return read_corpus("mmin", root, dataset="tree", **options)


def features(root, modality, **options):
    return corpus_features("mmin", root, modality, dataset="tree", **options)


def findings(root, utterances):
    return {f.text: f.level for f in corpus_findings("mmin", root, utterances, dataset="tree")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = miniatures.mmin(tmp_path_factory.mktemp("tree"), wrong_width=True)
    miniatures.litter(root)
    return root, read(root)[0]


def test_names_and_targets_become_utterances(tree):
    root, utterances = tree
    assert len(utterances) == 40
    first = utterances[0]
    assert (first.id, first.label, first.text) == ("Ses01F_impro01_F000", "angry", "")
    assert (first.speaker, first.sex, first.session) == ("Ses01F", "f", "Session1")
    assert first.audio == str(root / "A/comparE.h5") and first.video == str(root / "V/denseface.h5")
    assert [u.label for u in utterances[:4]] == ["angry", "happy", "neutral", "sad"]


@pytest.mark.parametrize(("modality", "dim"), [("s", 130), ("v", 342), ("t", 1024)])
def test_features_are_an_encoder(tree, modality, dim):
    root, utterances = tree
    encoder = features(root, modality)
    assert isinstance(encoder, Encoder) and (encoder.modality, encoder.dim) == (modality, dim)
    answers = list(encoder.encode([*utterances[5:2:-1], Utterance("nobody")]))
    with h5py.File(
        root / encoder.describe()["file"].join(({"s": "A", "v": "V", "t": "L"}[modality] + "/", ""))
    ) as h5:
        for answer, utterance in zip(answers[:3], utterances[5:2:-1], strict=True):
            whole = h5[utterance.id][()]
            length = len(whole) if modality == "s" else 3 + utterances.index(utterance) % 3
            assert answer.id == utterance.id
            assert answer.frames.tolist() == whole[:length].tolist()
            assert answer.times.tolist() == list(range(length))
    assert isinstance(answers[3], Rejected) and "holds no features of it" in answers[3].reason


def test_a_wrong_width_costs_one_utterance_its_modality(tree):
    root, utterances = tree
    wrong, right = features(root, "s").encode(utterances[:2])
    assert wrong.reason == "its features in comparE.h5 have the shape (7, 129), not (T, 130)"
    assert right.frames.shape == (7, 130)
    text = "A/comparE.h5: 1 utterance of another shape, as Ses01F_impro01_F000 (7, 129)"
    assert findings(root, utterances)[text] == "warning"


def test_zeros_are_a_video_without_a_face(tree):
    root, utterances = tree
    [answer] = features(root, "v").encode([utterances[1]])
    assert is_absence(answer)


def test_extraction_takes_it_like_any_encoder(tree, tmp_path):
    root, utterances = tree
    summary = extract(utterances, features(root, "s"), tmp_path, shard_size=16)
    assert summary.encoded == 39 and len(summary.rejected) == 1
    table = read_features(tmp_path)
    assert table.dim == 130 and len(table.ids) == 39


def test_a_file_that_is_not_there_leaves_the_modality_absent(tmp_path):
    miniatures.mmin(tmp_path)
    (tmp_path / "V/denseface.h5").unlink()
    utterances, _ = read(tmp_path)
    assert all(u.video is None and u.audio for u in utterances)
    assert extract(utterances, features(tmp_path, "v"), tmp_path / "out").absent == 40
    assert "warning" in findings(tmp_path, utterances).values()


def test_the_folds_of_the_tree_are_those_of_the_rule(tree):
    root, utterances = tree
    told = findings(root, utterances)
    assert told["target: 10 folds by speaker, as `folds: mmin` makes them (the first 32/4/4)"] == "ok"
    for fold in split(utterances, "mmin"):
        for part, ids in (("trn", fold.train), ("val", fold.validation), ("tst", fold.test)):
            names = np.load(root / f"target/{fold.number}/{part}_int2name.npy")
            assert sorted(n.decode() for [n] in names) == sorted(ids)


def test_other_folds_are_told(tmp_path):
    miniatures.mmin(tmp_path)
    for kind in ("int2name", "label"):
        one, other = (tmp_path / f"target/3/{part}_{kind}.npy" for part in ("trn", "val"))
        swapped = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(swapped)
    told = findings(tmp_path, read(tmp_path)[0])
    assert (
        told["target/3 does not hold one session out, one speaker to validate and one to test"] == "warning"
    )


def test_labels_may_be_numbers_and_names_plain_strings(tmp_path):
    miniatures.mmin(tmp_path)
    expected = read(tmp_path)[0]
    for path in (tmp_path / "target").rglob("*.npy"):
        array = np.load(path)
        np.save(path, array[:, 0].astype(str) if array.dtype.kind == "S" else array.argmax(1))
    assert read(tmp_path)[0] == expected
    renamed = read(tmp_path, labels=["neutral", "sad", "angry", "happy"])[0]
    assert renamed[0].label == "neutral"


def test_what_contradicts_itself_is_rejected(tmp_path):
    miniatures.mmin(tmp_path)
    path = tmp_path / "target/1/tst_label.npy"
    labels = np.load(path)
    labels[0] = [0, 1, 0, 0]  # another class than in the other folds
    labels[1] = [0, 0, 0, 0]
    np.save(path, labels)
    utterances, rejected = read(tmp_path)
    assert len(utterances) == 38
    assert {r.reason for r in rejected} == {
        "its class in target is 0 and 1, not one of 0 to 3",
        "its class in target is -1 and 1, not one of 0 to 3",
    }


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "target/2/val_label.npy").unlink(), "target/2/val_label.npy does not exist"),
        (lambda root: (root / "target/2/val_label.npy").write_bytes(b"\x93NUMPY"), "is no whole .npy file"),
        (lambda root: np.save(root / "target/2/val_label.npy", np.eye(4)[:1]), "4 names and 1 labels for val"),
        (lambda root: np.save(root / "target/2/val_int2name.npy", np.eye(4)), "must hold names"),
        (lambda root: (root / "A/comparE.h5").write_bytes(b"not HDF5"), "comparE.h5 is not a whole HDF5 file"),
        (lambda root: (root / "target").rename(root / "targets"), "holds no folder 1, 2, ... with the folds"),
    ],
)  # fmt: skip
def test_damage_is_one_sentence(tmp_path, break_it, message):
    miniatures.mmin(tmp_path)
    break_it(tmp_path)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_an_object_array_is_not_unpickled(tmp_path):
    miniatures.mmin(tmp_path)
    np.save(tmp_path / "target/1/trn_label.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UserError, match=r"trn_label.npy is no whole .npy file"):
        read(tmp_path)


def test_values_that_are_none_cost_the_modality(tmp_path):
    miniatures.mmin(tmp_path)
    with h5py.File(tmp_path / "L/bert_large.h5", "r+") as opened:
        opened["Ses01F_impro01_F000"][0, 0] = np.nan
        del opened["Ses01F_impro01_F001"]
        opened["Ses01F_impro01_F001"] = np.zeros((0, 1024), np.float32)
    utterances = read(tmp_path)[0]
    bad, empty = features(tmp_path, "t").encode(utterances[:2])
    assert bad.reason == "1 of its 22528 values in bert_large.h5 are NaN or infinite"
    assert "have the shape (0, 1024)" in empty.reason
