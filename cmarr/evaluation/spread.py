"""UMC's sigma of single modalities, as `evaluate` keeps it beside the predictions: predictions/<method>/spread.parquet.

One row an utterance and modality, of methods that know it: fold, seed, role ('test', or 'validation' of the same
training), protocol ('fixed' for the clean recording, or a kind of damage), level (null for the clean one), modality,
id, spread.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from cmarr import objects
from cmarr.masks.protocols import FIXED
from cmarr.seals import read_frame, write_table

if TYPE_CHECKING:
    from torch import Tensor

SPREAD = "spread.parquet"
_SCHEMA = pa.schema(
    [
        ("fold", pa.int32()),
        ("seed", pa.int64()),
        ("role", pa.string()),
        ("protocol", pa.string()),
        ("level", pa.float64()),
        ("modality", pa.string()),
        ("id", pa.string()),
        ("spread", pa.float64()),
    ]
)


def spread_frame(
    ids: Sequence[str],
    spreads: "Mapping[str, Tensor]",
    role: str,
    *,
    fold: int,
    seed: int,
    protocol: str = FIXED,
    level: float = np.nan,
) -> pd.DataFrame:
    """Rows for one store; spreads: modality -> (N,), NaN where it is not available (no row then)."""
    parts = [
        pd.DataFrame({"modality": modality, "id": list(ids), "spread": values.numpy()})
        for modality, values in spreads.items()
    ]
    if not parts:
        return pd.DataFrame(columns=_SCHEMA.names)
    rows = pd.concat(parts, ignore_index=True).dropna(subset="spread")
    return rows.assign(fold=fold, seed=seed, role=role, protocol=protocol, level=level)[_SCHEMA.names]


def write_spread(path: str | Path, frames: Sequence[pd.DataFrame]) -> None:
    """Write all rows of a method atomically; nothing where it knows no spreads."""
    known = [frame for frame in frames if len(frame)]
    if known:
        table = pa.Table.from_pandas(pd.concat(known), _SCHEMA, preserve_index=False)
        write_table(path, table.replace_schema_metadata(None), compression="zstd")


def read_spread(folder: str | Path) -> pd.DataFrame | None:
    """The spreads beside a method's predictions; None where there are none. Raises UserError for a damaged file."""
    path = Path(folder) / SPREAD
    return read_frame(path, "evaluate the method again") if objects.is_file(path) else None
