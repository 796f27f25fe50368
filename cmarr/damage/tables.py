"""The features of damaged utterances on disk: data/<dataset>/damaged/<kind>/<level>/part-00000.parquet, ..."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from cmarr import objects
from cmarr.damage.kinds import KINDS
from cmarr.features.shards import FeatureTable, read_features
from cmarr.seals import read_json

LEVELS = "levels.json"
"""File, beside the folders of the levels, that tells what became of each."""


def level_folder(folder: str | Path, level: float) -> Path:
    """Where the shards of one level lie."""
    return Path(folder) / f"{level:g}"


Damaged: TypeAlias = dict[str, dict[float, FeatureTable]]
"""Kind -> level -> the features of the damaged modality, mildest level first."""


def read_damaged(folder: str | Path, features: Mapping[str, FeatureTable]) -> Damaged:
    """What lies below the folder `damaged`.

    features: the clean ones by modality; a kind whose modality the corpus does not have is left out. A level that
    leaves nothing of the modality has an empty table.
    """
    found: dict[str, dict[float, FeatureTable]] = {}
    for kind, of in KINDS.items():
        rows = read_levels(Path(folder) / kind)["levels"]
        if rows and of.modality in features:
            nothing = FeatureTable([], features[of.modality].values[:0], np.zeros(1, np.int64))
            found[kind] = {
                row["level"]: read_features(level_folder(Path(folder) / kind, row["level"])) or nothing
                for row in rows
            }
    return found


def read_levels(folder: str | Path) -> Mapping[str, Any]:
    """What `cmarr.damage.levels.extract_levels` says of its outcome; without any level where nothing was asked for."""
    path = Path(folder) / LEVELS
    return read_json(path, "damage the recordings again") if objects.is_file(path) else {"levels": []}
