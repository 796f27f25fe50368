"""Files that are whole, each of them, and do not belong together: in the wrong place, of another run, or too late."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmarr.corpora.manifest import read_manifest
from cmarr.encoders.hashing import Hashing
from cmarr.errors import NotWhole, UserError
from cmarr.evaluation.predictions import read_folder
from cmarr.features.extract import extract
from cmarr.features.shards import load_features, map_features, read_features, read_lengths, shard_path
from cmarr.folds.files import read_folds, write_folds
from cmarr.masks.files import read_description
from cmarr.media.faces_file import read_faces
from cmarr.methods.described import whole_model
from cmarr.methods.model import load_model
from cmarr.seals import read_json
from cmarr.training.progress import Checkpoint
from cmarr.utterance import Utterance
from stages import evaluate, train


def texts(folder: Path, words: str, shard_size: int = 2) -> Path:
    """Shards of the texts of six utterances."""
    utterances = [Utterance(f"u{i}", text=f"{words} {i}") for i in range(6)]
    extract(utterances, Hashing(Hashing.Settings()), folder, shard_size=shard_size)
    return folder


def swap(folder: Path, other: Path) -> None:
    first, second = shard_path(folder, 0), shard_path(folder, 1)
    kept = first.read_bytes()
    shutil.copy(second, first)
    second.write_bytes(kept)


EXCHANGES = {
    "a shard is missing": lambda folder, other: shard_path(folder, 1).unlink(),
    "the last shard is missing": lambda folder, other: shard_path(folder, 2).unlink(),
    "a shard is there twice": lambda folder, other: shutil.copy(shard_path(folder, 0), shard_path(folder, 1)),
    "one too many": lambda folder, other: shutil.copy(shard_path(folder, 0), shard_path(folder, 3)),
    "two have changed places": swap,
    "one is of another corpus": lambda folder, other: shutil.copy(
        shard_path(other, 1), shard_path(folder, 1)
    ),
}


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES.keys())
def test_a_folder_of_whole_shards_that_are_not_its_own_is_refused(exchange, tmp_path):
    folder, other = texts(tmp_path / "text", "well"), texts(tmp_path / "other", "oh")
    exchange(folder, other)
    readers = (read_features, read_lengths, lambda f: map_features(f, tmp_path / "unpacked"))
    for read in readers:
        with pytest.raises(NotWhole, match=f"^{folder} does not hold the shards.*run the extraction again$"):
            read(folder)
    texts(tmp_path / "text", "well")  # and that mends it
    assert len(read_features(folder).ids) == 6 and set(read_lengths(folder)) == {f"u{i}" for i in range(6)}


def test_rows_that_are_there_twice_are_refused(tmp_path):
    folder = texts(tmp_path / "text", "well")
    path = shard_path(folder, 0)
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(2):
            writer.write_table(table)
    with pytest.raises(NotWhole, match="part-00000"):
        load_features(tmp_path)
    manifest = tmp_path / "rows.parquet"
    pq.write_table(pa.concat_tables([table.select(["id"])] * 2), manifest)
    with pytest.raises(UserError, match="rows"):
        read_manifest(manifest)


def test_a_model_beside_other_folds_is_not_evaluated(corpus):
    corpus.settings("linear", {"C": 1.0})
    train.main("tiny", "linear")
    evaluate.main("tiny", "linear")
    before = read_folder("data/tiny/predictions/linear")
    place = Path("data/tiny/folds.parquet")
    first, second = read_folds(place)
    write_folds(place, [replace(first, train=second.train, test=first.train), second])
    with pytest.raises(
        NotWhole, match=r"fold1-seed0.safetensors: was trained on other folds than there are now"
    ):
        evaluate.main("tiny", "linear")
    write_folds(place, [first, second])
    evaluate.main("tiny", "linear")
    assert all(a.equals(b) for a, b in zip(before, read_folder("data/tiny/predictions/linear"), strict=True))


def test_a_model_that_changes_while_it_is_read_is_not_taken(corpus):
    corpus.settings("linear", {"C": 1.0})
    train.main("tiny", "linear")
    path = Path("data/tiny/models/linear/fold1-seed0.safetensors")
    told = r"fold1-seed0\.safetensors: changed while it was read"
    with pytest.raises(UserError, match=told), whole_model(path) as file, file.open("r+b") as opened:
        opened.seek(-4, os.SEEK_END)
        opened.write(np.float32(9).tobytes() + b"more")
        opened.flush()


READERS = {
    "x.parquet": (read_manifest, read_folds, lambda path: read_faces(path)),
    "x.safetensors": (load_model,),
    "x.json": (lambda path: read_json(path, "do it again"),),
    "protocols.json": (lambda path: read_description(path.parent),),
    "x.state": (lambda path: Checkpoint(path).load(),),
}


@pytest.mark.parametrize("kind", ["loop", "chain", "folder", "pages", "sparse"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_of_its_kind_is_one_sentence(kind, name, tmp_path):
    path = tmp_path / name
    if kind == "loop":
        path.symlink_to(path.name)
    elif kind == "chain":  # more links than a system follows
        for i in range(60):
            (tmp_path / f"{i}").symlink_to(f"{i + 1}")
        path.symlink_to("0")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as opened:
            opened.truncate(4096 if kind == "pages" else 10**8)
    for read in READERS[name]:
        try:
            assert read(path) is None  # of a state that is not there
        except UserError as error:
            assert name in str(error) and "\n" not in str(error)
