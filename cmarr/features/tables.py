"""The features of all modalities, from their folders."""

from pathlib import Path

from cmarr.errors import UserError
from cmarr.features.shards import FeatureTable, features_size, map_features, read_features
from cmarr.modalities import NAMES


def load_features(folder: str | Path, unpacked: str | Path | None = None) -> dict[str, FeatureTable]:
    """Letter -> table for each modality that has at least one sequence under `folder`/<modality>/.

    unpacked: a folder to unpack the features to, from where they are mapped instead of held in memory.
    Raises UserError when no modality has any.
    """
    tables = {
        letter: read_features(Path(folder) / name)
        if unpacked is None
        else map_features(Path(folder) / name, Path(unpacked) / name)
        for letter, name in NAMES.items()
    }
    found = {letter: table for letter, table in tables.items() if table is not None}
    if not found:
        raise UserError(
            f"{folder}: no modality has any features; look at the quarantine lists in its folders"
        )
    return found


def size_of_features(folder: str | Path) -> int:
    """Bytes of the features of all modalities under `folder`, as they are held in memory."""
    return sum(features_size(Path(folder) / name) for name in NAMES.values())
