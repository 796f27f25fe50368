"""Mask sets on disk: one Parquet file a protocol, and `protocols.json`, which tells what they are.

    <protocol>.parquet of whole modalities   fold, id, level, condition: what the utterance may use at that level.
                                             An utterance with nothing to lose keeps the complete condition.
    <protocol>.parquet of frames and tokens  fold, id, level, modality, n_steps, kept: one bit a step, packed
    protocols.json     {"protocols": {name: {"rule": sentence, "levels": [{"level": 0.1, "realised": 0.1}, ...]}},
                        "absent": {name: sentence}, "unseen": true or false}

`realised` is the share of hidden cells (of dropped steps), naturally absent ones included, over all test utterances.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cmarr.seals import read_frame, read_json, write_json, write_table

_AGAIN = "draw the mask sets again"
CELL_SCHEMA = pa.schema(
    [("fold", pa.int32()), ("id", pa.string()), ("level", pa.float64()), ("condition", pa.string())]
)
STEP_SCHEMA = pa.schema(
    [
        ("fold", pa.int32()),
        ("id", pa.string()),
        ("level", pa.float64()),
        ("modality", pa.string()),
        ("n_steps", pa.int32()),
        ("kept", pa.binary()),
    ]
)


def write_masks(folder: str | Path, name: str, frame: pd.DataFrame) -> None:
    """Write the mask set of one protocol atomically; equal rows give equal bytes."""
    schema = STEP_SCHEMA if "kept" in frame else CELL_SCHEMA
    table = pa.Table.from_pandas(frame[schema.names], schema, preserve_index=False)
    write_table(_path(folder, name), table.replace_schema_metadata(None), compression="zstd")


def write_description(folder: str | Path, description: Mapping[str, Any]) -> None:
    """Write protocols.json."""
    write_json(Path(folder) / "protocols.json", description)


def read_description(folder: str | Path) -> dict[str, Any]:
    """Read protocols.json; raises UserError when it is not there, or damaged."""
    return read_json(Path(folder) / "protocols.json", _AGAIN)


def read_masks(folder: str | Path, name: str) -> pd.DataFrame:
    """The mask set of one protocol; raises UserError when it is missing or damaged."""
    return read_frame(_path(folder, name), _AGAIN)


def levels(frame: pd.DataFrame, fold: int) -> Iterator[tuple[float, pd.DataFrame]]:
    """(level, its rows) of one fold, from the lowest level."""
    for level, rows in frame[frame["fold"] == fold].groupby("level"):
        yield float(level), rows


def packed(kept: np.ndarray) -> bytes:
    """Booleans as bits."""
    return np.packbits(kept).tobytes()


def unpacked(raw: bytes, count: int) -> np.ndarray:
    """The inverse of `packed`: (count,) bool."""
    return np.unpackbits(np.frombuffer(raw, np.uint8), count=count).astype(bool)


def _path(folder: str | Path, name: str) -> Path:
    return Path(folder) / f"{name}.parquet"
