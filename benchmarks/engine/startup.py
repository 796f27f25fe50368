"""From starting Python to the first step of a training: imports, and reading shards of a quarter of IEMOCAP's size."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.stores import IEMOCAP, fitted, random_store, size_in_bytes
from benchmarks.records import markdown
from cmarr.data.store import Store, build_store
from cmarr.features.shards import load_features, shard_path, write_shard
from cmarr.modalities import NAMES
from cmarr.utterance import FeatureSequence

SHARD = 64
"""Utterances of a shard."""


def measure(steps: int) -> dict[str, Any]:
    """Seconds to import what a training imports, and to make a store of shards."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import cmarr.training.job, cmarr.methods.cmarr"], check=True)
    imported = time.perf_counter() - start
    store = random_store(IEMOCAP // 4)
    with tempfile.TemporaryDirectory() as folder:
        write_shards(store, Path(folder))
        start = time.perf_counter()
        features = load_features(folder)
        read = time.perf_counter() - start
        start = time.perf_counter()
        fitted(build_store(store.ids, features, store.labels.tolist()))
        gathered = time.perf_counter() - start
    return {
        "import_seconds": imported,
        "utterances": len(store),
        "features_bytes": size_in_bytes(store),
        "read_seconds": read,
        "store_and_statistics_seconds": gathered,
    }


def write_shards(store: Store, folder: Path) -> None:
    """The features of a store as the stage `extract` leaves them."""
    for m, values in store.values.items():
        (folder / NAMES[m]).mkdir()
        frames = values.float().numpy()
        for number, first in enumerate(range(0, len(store), SHARD)):
            rows = range(first, min(first + SHARD, len(store)))
            own = [(int(store.starts[m][i]), int(store.lengths[m][i])) for i in rows]
            sequences = [
                FeatureSequence(str(i), frames[a : a + n], np.zeros(n, np.float32))
                for i, (a, n) in zip(rows, own, strict=True)
            ]
            write_shard(shard_path(folder / NAMES[m], number), sequences, {})


def table(found: Mapping[str, Any]) -> str:
    return markdown(
        ["import, s", "utterances", "features, MB", "reading their shards, s", "store and statistics, s"],
        [
            [
                f"{found['import_seconds']:.1f}",
                f"{found['utterances']}",
                f"{found['features_bytes'] / 1e6:.0f}",
                f"{found['read_seconds']:.1f}",
                f"{found['store_and_statistics_seconds']:.1f}",
            ]
        ],
    )
