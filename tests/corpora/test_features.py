"""Features made elsewhere: a table, and arrays of every form that people keep them in."""

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmarr.corpora import features
from cmarr.corpora.parquet import read_cells, read_columns
from cmarr.corpora.registry import corpus_features, corpus_findings, corpus_inventory, read_corpus
from cmarr.encoders.protocol import is_absence
from cmarr.errors import UserError
from cmarr.utterance import FeatureSequence, Rejected

IDS = ["a", "b", "c"]
ARRAYS = {name: np.arange(6, dtype=np.float32).reshape(3, 2) + 10 * i + 1 for i, name in enumerate(IDS)}
TOGETHER = np.stack([*ARRAYS.values()])


def table(root, ids=IDS, **columns):
    rows = {"id": ids, "label": ["happy"] * len(ids), "speaker": ["s1"] * len(ids), **columns}
    pd.DataFrame(rows).to_csv(root / "utterances.csv", index=False)


def encode(root, modality, ids=IDS, **options):
    encoder = corpus_features("features", root, modality, dataset="mine", **options)
    utterances = [u for u in read_corpus("features", root, dataset="mine", **options)[0] if u.id in ids]
    return encoder, list(encoder.encode(utterances))


def npy(root):
    np.save(root / "speech.npy", TOGETHER)


def npz_by_id(root):
    np.savez(root / "speech.npz", **ARRAYS)


def npz_with_ids(root):
    np.savez(root / "speech.npz", ids=np.array(IDS[::-1]), features=TOGETHER[::-1], lengths=[3, 3, 3])


def hdf5(root):
    with h5py.File(root / "speech.h5", "w") as file:
        for name, array in ARRAYS.items():
            file[name] = array


def hdf5_with_ids(root):
    with h5py.File(root / "speech.h5", "w") as file:
        file["ids"] = IDS[::-1]
        file["features"], file["lengths"] = TOGETHER[::-1], [3, 3, 3]


def csv_of_steps(root):
    parquet_of_steps(root)
    pd.read_parquet(root / "speech.parquet").to_csv(root / "speech.csv", index=False)
    (root / "speech.parquet").unlink()


def parquet_of_steps(root):
    rows = [{"id": name, "f0": row[0], "f1": row[1]} for name, array in ARRAYS.items() for row in array]
    pd.DataFrame(rows).to_parquet(root / "speech.parquet")


def parquet_of_lists(root):
    rows = [{"id": name, "x": [list(map(float, row)) for row in array]} for name, array in ARRAYS.items()]
    pd.DataFrame(rows).to_parquet(root / "speech.parquet")


def folder(root):
    for name, array in ARRAYS.items():
        (root / "speech/part").mkdir(parents=True, exist_ok=True)
        np.save(root / f"speech/part/{name}.npy", array)


def table_of_arrays(root):
    (root / "utterances.csv").unlink()
    rows = [{"id": n, "label": "happy", "speaker": "s1", "speech": a.tolist()} for n, a in ARRAYS.items()]
    pd.DataFrame(rows).to_parquet(root / "mine.parquet")


@pytest.mark.parametrize(
    "write",
    [
        npy,
        npz_by_id,
        npz_with_ids,
        hdf5,
        hdf5_with_ids,
        csv_of_steps,
        parquet_of_steps,
        parquet_of_lists,
        folder,
        table_of_arrays,
    ],
)
def test_every_form_gives_the_same(tmp_path, write):
    table(tmp_path)
    write(tmp_path)
    encoder, answers = encode(tmp_path, "s")
    assert encoder.dim == 2 and encoder.describe()["revision"]
    for answer in answers:
        np.testing.assert_array_equal(answer.frames, ARRAYS[answer.id])
        assert answer.times.tolist() == [0, 1, 2]
    utterance = read_corpus("features", tmp_path, dataset="mine")[0][0]
    assert (utterance.label, utterance.speaker, utterance.video, utterance.text) == (
        "happy",
        "s1",
        None,
        None,
    )
    assert corpus_inventory("features", tmp_path, dataset="mine")["files"] == len(
        set(features.files(tmp_path, features.Options()))
    )
    assert [f.level for f in corpus_findings("features", tmp_path, [], dataset="mine")] == [
        "ok",
        "note",
        "note",
    ]


def test_one_vector_an_utterance_and_lengths(tmp_path):
    table(tmp_path)
    np.save(tmp_path / "speech.npy", TOGETHER[:, 0])
    np.savez(tmp_path / "video.npz", id=np.array(IDS), vision=TOGETHER, lengths=np.array([1, 2, 3]))
    assert [a.frames.shape for a in encode(tmp_path, "s")[1]] == [(1, 2)] * 3
    assert [a.frames.shape for a in encode(tmp_path, "v")[1]] == [(1, 2), (2, 2), (3, 2)]


def test_names_that_look_like_numbers(tmp_path):
    table(tmp_path, ids=["007", "010"], label=["happy", "sad"], speaker=["s1", "s2"])
    (tmp_path / "speech.csv").write_text("id,f0,f1\n007,1,2\n007,3,4\n010,5,\n")
    with h5py.File(tmp_path / "video.h5", "w") as file:
        file["ids"], file["x"] = [b"007", b"010"], TOGETHER[:2]
    seven, ten = encode(tmp_path, "s", ["007", "010"])[1]
    assert seven.frames.tolist() == [[1, 2], [3, 4]] and "NaN" in ten.reason
    assert [a.frames.shape for a in encode(tmp_path, "v", ["007", "010"])[1]] == [(3, 2)] * 2


def test_cells_that_say_that_there_is_nothing(tmp_path):
    table(tmp_path, label=["happy", "nan", "None"], text=["well", "nan", "None"])
    npy(tmp_path)
    utterances, _ = read_corpus("features", tmp_path, dataset="mine")
    assert [u.label for u in utterances] == ["happy", None, None]
    told = [f.text for f in corpus_findings("features", tmp_path, utterances, dataset="mine")]
    assert told[0] == "cells that say nan, None or the like are read as empty: 2 of label, 1 of text"


def test_an_utterance_without_an_array_lacks_the_modality(tmp_path):
    table(tmp_path, text=["well", "", "no"])
    np.savez(tmp_path / "audio.npz", a=ARRAYS["a"], nobody=ARRAYS["b"])
    np.savez(tmp_path / "language.npz", a=ARRAYS["a"], b=ARRAYS["b"])
    utterances, rejected = read_corpus("features", tmp_path, dataset="mine")
    assert [(u.id, u.audio is not None, u.text) for u in utterances] == [
        ("a", True, "well"),
        ("b", False, ""),
    ]
    [(name, reason)] = [(r.id, r.reason) for r in rejected]
    assert name == "c" and "no array is called 'c'" in reason
    told = [f.text for f in corpus_findings("features", tmp_path, utterances, dataset="mine")]
    assert "audio.npz: 1 array of no utterance of the table" in told


def test_what_rows_mean_that_hold_nothing(tmp_path):
    table(tmp_path)
    arrays = {name: array.copy() for name, array in ARRAYS.items()}
    arrays["a"][1] = 0
    arrays["b"][:] = [[255, 255], [-255, -255], [0, 0]]
    arrays["c"][0] = np.nan
    np.savez(tmp_path / "speech.npz", **arrays)
    _, (a, b, c) = encode(tmp_path, "s", sentinels=[255, -255])
    assert a.times.tolist() == [0, 2] and is_absence(b) and c.times.tolist() == [1, 2]
    _, refused = encode(tmp_path, "s", sentinels=[255, -255], zeros="error")
    assert all(isinstance(r, Rejected) and not is_absence(r) for r in refused)
    _, (a, b, c) = encode(tmp_path, "s", zeros="keep")
    assert len(a.frames) == 3 and b.frames.tolist()[2] == [0, 0] and isinstance(c, FeatureSequence)
    utterances, _ = read_corpus("features", tmp_path, dataset="mine")
    told = " ".join(f.text for f in corpus_findings("features", tmp_path, utterances, dataset="mine"))
    assert "steps hold one number throughout (-255, 255)" in told


def test_arrays_without_columns_are_no_features(tmp_path):
    table(tmp_path)
    np.savez(tmp_path / "speech.npz", **{name: np.zeros((4, 0)) for name in IDS})
    encoder, results = encode(tmp_path, "s")
    assert encoder.dim == 0
    assert {r.reason for r in results} == {
        "its array in speech.npz has the shape (4, 0) and holds no feature"
    }


def test_what_does_not_fit_costs_its_utterance(tmp_path):
    table(tmp_path)
    arrays = ARRAYS | {"b": np.ones((2, 5), np.float32), "c": np.full((2, 2), np.inf, np.float32)}
    np.savez(tmp_path / "speech.npz", **arrays)
    _, (a, b, c) = encode(tmp_path, "s")
    assert isinstance(a, FeatureSequence)
    assert b.reason == "its array in speech.npz has the shape (2, 5), not (T, 2)"
    assert c.reason == "4 of its 4 values are NaN or infinite"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: np.save(root / "speech.npy", TOGETHER[:2]), "holds 2 rows, the table 3 utterances"),
        (lambda root: np.save(root / "speech.npy", np.array([{}]), allow_pickle=True), "no whole .npy file"),
        (
            lambda root: np.save(root / "speech.npy", TOGETHER[..., :0]),
            "D at least 1, not float32 of the shape",
        ),
        (lambda root: np.save(root / "speech.npy", TOGETHER + 1j), "holds complex64 and no real numbers"),
        (
            lambda root: np.savez(root / "speech.npz", ids=np.array(IDS), x=TOGETHER, lengths=[1, np.nan, 2]),
            "its lengths hold NaN",
        ),
        (lambda root: (root / "speech.npz").write_bytes(b"PK"), "no whole .npz file"),
        (lambda root: (root / "speech.h5").write_bytes(b"x"), "not a whole HDF5 file"),
        (
            lambda root: (root / "speech.parquet").write_bytes(b"x"),
            "speech.parquet is not a readable Parquet",
        ),
        (lambda root: (npy(root), npz_by_id(root)), "two sources of speech; name one with options.speech"),
        (lambda root: (root / "speech").mkdir(), "holds no .npy file"),
        (lambda root: table(root, ["a", "a"]), "the id a appears twice, in line 2 and in line 3"),
        (lambda root: (root / "utterances.csv").write_text("name\nx\n"), "lacks the column id"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path, spoil, message):
    table(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        read_corpus("features", tmp_path, dataset="mine")


def test_wrong_cells_cost_their_row(tmp_path):
    table(tmp_path, split=["train", "dev", "soon"], score=["1", "x", "2"])
    npy(tmp_path)
    utterances, rejected = read_corpus("features", tmp_path, dataset="mine")
    assert [(u.id, u.score, u.split) for u in utterances] == [("a", 1.0, "train")]
    assert [r.reason for r in rejected] == [
        "utterances.csv, line 3: score is 'x', not a number",
        "utterances.csv, line 4: split is 'soon', not one of train, valid, validation, dev, test",
    ]


def test_a_pickle_in_an_archive_runs_nothing(tmp_path):
    table(tmp_path)

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it ran",))

    np.savez(tmp_path / "speech.npz", a=np.array([Bomb()], dtype=object), b=ARRAYS["b"], c=ARRAYS["c"])
    _, answers = encode(tmp_path, "s")
    assert [type(a) for a in answers] == [Rejected, FeatureSequence, FeatureSequence]


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["", "sep={}\n"])
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_table_of_a_spreadsheet(tmp_path, sep, head, codec):
    npy(tmp_path)
    rows = ["id,label", "a,happy", "b,happy", "c,sad"]
    text = head.format(sep) + "\n".join(rows).replace(",", sep)
    (tmp_path / "utterances.csv").write_bytes(text.encode(codec))
    found, _ = read_corpus("features", tmp_path, dataset="mine")
    assert [(u.id, u.label) for u in found] == [("a", "happy"), ("b", "happy"), ("c", "sad")]


def test_numbers_of_a_column_with_gaps_are_whole(tmp_path):
    np.savez(tmp_path / "speech.npz", **{"1": np.ones(3), "2": np.ones(3)})
    rows = {"id": [1.0, 2.0], "label": ["happy", "sad"], "speaker": [7.0, None]}
    pd.DataFrame(rows).to_parquet(tmp_path / "utterances.parquet")
    found, _ = read_corpus("features", tmp_path, dataset="mine")
    assert [(u.id, u.speaker) for u in found] == [("1", "7"), ("2", None)]


def test_a_sentinel_with_a_fraction(tmp_path):
    table(tmp_path)
    array = TOGETHER.copy()
    array[0] = -99.9
    np.save(tmp_path / "speech.npy", array)
    _, results = encode(tmp_path, "s", sentinels=[-99.9])
    assert isinstance(results[0], Rejected) and is_absence(results[0])
    assert isinstance(results[1], FeatureSequence)


def test_what_is_passed_over_is_told(tmp_path):
    table(tmp_path, emotion=["happy"] * 3)
    npy(tmp_path)
    np.save(tmp_path / "audio.npy", TOGETHER)
    (tmp_path / "video.pkl").write_bytes(b"")
    utterances, _ = read_corpus("features", tmp_path, dataset="mine")
    notes = [f.text for f in corpus_findings("features", tmp_path, utterances, dataset="mine")]
    assert "passed over: the column emotion, audio.npy, video.pkl" in notes


def test_ids_that_no_array_has_are_named_beside_those_of_the_arrays(tmp_path):
    table(tmp_path, ids=["a", "b.wav", "c"])
    npz_by_id(tmp_path)
    found, rejected = read_corpus("features", tmp_path, dataset="mine")
    assert [u.id for u in found] == ["a", "c"]
    assert (
        rejected[0].id == "b.wav"
        and "line 3: no array is called 'b.wav' (speech.npz has 'a')" in rejected[0].reason
    )


def test_a_folder_without_arrays_says_what_lies_there_instead(tmp_path):
    table(tmp_path)
    (tmp_path / "speech.mat").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds no arrays.*speech\.mat is none of \.npz"):
        read_corpus("features", tmp_path, dataset="mine")


def test_names_of_files_on_a_mac_and_below_folders(tmp_path):
    ids = ["Gespräch", "s1/b", "c"]
    table(tmp_path, ids=ids)
    (tmp_path / "speech/s1").mkdir(parents=True)
    for name in ("Gespra\u0308ch", "s1/b", "s1/c"):
        np.save(tmp_path / f"speech/{name}.npy", np.ones((2, 3)))
    utterances, rejected = read_corpus("features", tmp_path, dataset="mine")
    assert sorted(u.id for u in utterances) == sorted(ids) and not rejected
    notes = [f.text for f in corpus_findings("features", tmp_path, utterances, dataset="mine")]
    assert not any("of no utterance" in note for note in notes)


def test_a_file_of_a_folder_that_git_did_not_fetch(tmp_path):
    table(tmp_path)
    folder(tmp_path)
    (tmp_path / "speech/part/b.npy").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    _, results = encode(tmp_path, "s")
    assert "b.npy is a pointer of Git LFS" in results[1].reason


@pytest.mark.parametrize("separator, point", [(";", ","), (";", "."), ("\t", "."), (",", ".")])
def test_numbers_of_a_spreadsheet(tmp_path, separator, point):
    table(tmp_path)
    csv_of_steps(tmp_path)
    path = tmp_path / "speech.csv"
    path.write_text(path.read_text().replace(",", separator).replace(".", point))
    _, results = encode(tmp_path, "s")
    assert [r.frames.tolist() for r in results] == [ARRAYS[name].tolist() for name in IDS]


def test_a_table_whose_text_is_no_utf8_is_refused(tmp_path):
    offsets = np.array([0, 3, 5], np.int64).tobytes()
    said = pa.Array.from_buffers(
        pa.large_string(), 2, [None, pa.py_buffer(offsets), pa.py_buffer(b"a\x80bcd")]
    )
    pq.write_table(pa.table({"id": said, "x": [1.0, 2.0]}), tmp_path / "speech.parquet")
    for read in (read_columns, lambda path: read_cells(path, {"id"})):
        with pytest.raises(UserError, match=r"speech\.parquet .*UTF8"):
            read(tmp_path / "speech.parquet")
