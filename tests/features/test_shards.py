"""Shards give back what was put in, byte for byte the same each time, and damage is noticed."""

import numpy as np
import pytest

from cmarr.errors import UserError
from cmarr.features.shards import read_features, read_ids, read_metadata, shard_path, write_shard
from cmarr.utterance import FeatureSequence


def sequence(id, n, dim=3, scale=1.0):
    rng = np.random.default_rng(n)
    frames = (scale * rng.standard_normal((n, dim))).astype(np.float16).astype(np.float32)
    return FeatureSequence(id, frames, np.arange(n, dtype=np.float32) / 10)


def test_ragged_sequences_come_back_in_order(tmp_path):
    sequences = [sequence("a", 4), sequence("b", 1), sequence("c", 7)]
    write_shard(shard_path(tmp_path, 0), sequences[:2], {"encoder": "x"})
    write_shard(shard_path(tmp_path, 1), sequences[2:], {"encoder": "x"})
    table = read_features(tmp_path)
    assert table.ids == ["a", "b", "c"]
    assert table.offsets.tolist() == [0, 4, 5, 12]
    assert table.dim == 3
    np.testing.assert_array_equal(table.values, np.concatenate([s.frames for s in sequences]))
    assert read_metadata(shard_path(tmp_path, 0)) == {"encoder": "x", "dtype": "float16"}


def test_values_beyond_half_precision_are_kept_in_single(tmp_path):
    large = FeatureSequence("a", np.array([[7e4, 1.0001]], np.float32), np.zeros(1, np.float32))
    write_shard(shard_path(tmp_path, 0), [sequence("b", 2, dim=2)], {})
    write_shard(shard_path(tmp_path, 1), [large], {})
    assert read_metadata(shard_path(tmp_path, 1))["dtype"] == "float32"
    values = read_features(tmp_path).values
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values[-1:], large.frames)


def test_the_same_sequences_give_the_same_bytes(tmp_path):
    for name in ("one.parquet", "two.parquet"):
        write_shard(tmp_path / name, [sequence("a", 5)], {"encoder": "x"})
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_an_empty_shard_and_an_empty_folder(tmp_path):
    assert read_features(tmp_path) is None
    write_shard(shard_path(tmp_path, 0), [], {})
    assert read_ids(shard_path(tmp_path, 0)) == []
    assert read_features(tmp_path) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(tmp_path, value):
    bad = FeatureSequence("a", np.full((1, 2), value, np.float32), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="utterance a: features hold NaN or infinity"):
        write_shard(shard_path(tmp_path, 0), [bad], {})
    assert list(tmp_path.iterdir()) == []  # nothing half-written either


def test_frames_and_times_must_agree():
    with pytest.raises(ValueError, match=r"utterance a: frames must be \(T, D\)"):
        FeatureSequence("a", np.zeros((3, 2), np.float32), np.zeros(2, np.float32))


def test_shards_of_different_width_are_refused(tmp_path):
    write_shard(shard_path(tmp_path, 0), [sequence("a", 2, dim=3)], {})
    write_shard(shard_path(tmp_path, 1), [sequence("b", 2, dim=4)], {})
    with pytest.raises(UserError, match="utterance b has 4 features, the ones before it 3"):
        read_features(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "zeroed", "one byte", "text"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    path = shard_path(tmp_path, 0)
    write_shard(path, [sequence("a", 500)], {})
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "zeroed":
        content[400:800] = bytes(400)
    elif damage == "one byte":
        content[1500] ^= 1
    else:
        content = b"not a shard"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"part-00000\.parquet (is damaged|has no seal): .* remove it and run"
    ):
        read_features(tmp_path)
