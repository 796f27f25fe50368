"""Features that memory does not hold are read batch by batch; no byte of a result changes."""

import numpy as np
import pytest
import torch

from cmarr.data.normalise import Normaliser
from cmarr.data.store import Frames, Store, build_store
from cmarr.features.shards import load_features, shard_path, size_of_features, write_shard
from cmarr.methods.masked import Masked
from cmarr.modalities import NAMES
from cmarr.task import Task
from cmarr.training.loop import fit
from cmarr.utterance import FeatureSequence
from tests.training.conftest import FIT

WIDTHS = {"s": 3, "v": 5, "t": 4}
TASK = Task(("no", "yes"))
LOUD = 7e4
"""More than half precision holds."""


def write_corpus(folder, rows: int = 40, shard: int = 7) -> list[str]:
    """Shards of random sequences, some absent; one of speech is in single precision. Returns the utterances."""
    rng = np.random.default_rng(0)
    ids = [f"u{i}" for i in range(rows)]
    for m, width in WIDTHS.items():
        kept = [name for name in ids if rng.random() > 0.2]
        for number, first in enumerate(range(0, len(kept), shard)):
            sequences = []
            for name in kept[first : first + shard]:
                frames = rng.standard_normal((rng.integers(1, 6), width)).astype(np.float32)
                if m == "s" and number == 1:
                    frames[0, 0] = LOUD
                sequences.append(FeatureSequence(name, frames, np.arange(len(frames), dtype=np.float32)))
            write_shard(shard_path(folder / NAMES[m], number), sequences, {})
    return ids


def stores(folder, unpacked=None) -> tuple[Store, Store]:
    features = load_features(folder, unpacked)
    known = sorted(set().union(*(table.ids for table in features.values())))
    train, validation = known[1::2], known[::2]
    return tuple(build_store(ids, features, [int(i[1:]) % 2 for i in ids]) for ids in (train, validation))


def trained(train: Store, validation: Store):
    torch.manual_seed(0)
    method = Masked(WIDTHS, TASK, Masked.Settings(d=8, length=4, heads=2))
    normaliser = Normaliser(WIDTHS)
    normaliser.fit(train.frames())
    progress = fit(
        method,
        normaliser,
        train,
        validation,
        task=TASK,
        seed=1,
        lr=0.01,
        batch_size=6,
        epochs=3,
        **FIT,
    )
    return method.state_dict() | normaliser.state_dict(), progress.curves


@pytest.fixture
def corpus(tmp_path):
    for name in NAMES.values():
        (tmp_path / name).mkdir()
    write_corpus(tmp_path)
    return tmp_path


def test_mapped_features_are_the_same_features(corpus):
    held, mapped = load_features(corpus), load_features(corpus, corpus / "unpacked")
    assert held.keys() == mapped.keys() == WIDTHS.keys()
    for m, table in held.items():
        assert isinstance(mapped[m].values, np.memmap)
        assert mapped[m].values.dtype == table.values.dtype == (np.float32 if m == "s" else np.float16)
        np.testing.assert_array_equal(mapped[m].values, table.values)
        np.testing.assert_array_equal(mapped[m].offsets, table.offsets)
        assert mapped[m].ids == table.ids
    assert held["s"].values.max() == LOUD
    assert size_of_features(corpus) == sum(table.values.nbytes for table in held.values())


def test_training_from_disk_gives_the_same_bytes(corpus):
    (weights, curves), (others, again) = (
        trained(*stores(corpus)),
        trained(*stores(corpus, corpus / "unpacked")),
    )
    assert curves == again
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


def test_a_mapped_store_holds_nothing_twice(corpus):
    train, _ = stores(corpus, corpus / "unpacked")
    table = load_features(corpus, corpus / "unpacked")["t"]
    assert len(train.values["t"]) == len(table.values)  # the file's, not a copy of its own rows
    assert train.to("cpu", values=False).values["t"] is train.values["t"]


def test_values_elsewhere_follow_batch_by_batch(corpus):
    """As on a device that does not hold them: the same batches, in the same order."""
    train, _ = stores(corpus)
    rows, sizes = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)), [6, 5]
    rows = rows[: sum(sizes)]
    shapes = [
        {m: own.shape for m, own in batch.values.items()}
        for batch in train.to("meta", values=False).batches(rows, sizes)
    ]
    assert shapes == [{m: own.shape for m, own in b.values.items()} for b in train.batches(rows, sizes)]


def test_statistics_do_not_depend_on_how_frames_are_held(monkeypatch):
    monkeypatch.setattr("cmarr.data.normalise.CHUNK", 4)
    values = torch.randn(11, 3, generator=torch.Generator().manual_seed(0)) * 5 + 2
    shuffled = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    one, other = Normaliser({"s": 3}), Normaliser({"s": 3})
    one.fit({"s": values})
    other.fit({"s": Frames(values[shuffled], shuffled.argsort())})
    assert torch.equal(one.mean_s, other.mean_s)
    assert torch.equal(one.scale_s, other.scale_s)
    torch.testing.assert_close(one.mean_s, values.mean(0))
    torch.testing.assert_close(one.scale_s, values.std(0, correction=0))
