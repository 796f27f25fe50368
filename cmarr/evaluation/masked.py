"""From a mask set to predictions: what was answered already is looked up, only what was not is asked."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cmarr.errors import UserError
from cmarr.masks.files import unpacked
from cmarr.modalities import NAMES


def look_up(fixed: pd.DataFrame, masks: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The predictions of one fold and seed under a mask set of whole modalities.

    An answer depends on nothing but the utterance and what may be used of it, and the seven conditions hold
    every set that may: so every row is one of `fixed`, under another name. masks: the fold's rows of the set.

    Raises UserError for an utterance that `fixed` does not answer.
    """
    place = pd.MultiIndex.from_frame(fixed[["id", "condition"]])
    rows = place.get_indexer(pd.MultiIndex.from_frame(masks[["id", "condition"]]))
    if (rows < 0).any():
        raise UserError(
            f"the mask set {protocol!r} names utterance {masks['id'].iloc[int((rows < 0).argmax())]}, which is not "
            "tested in this fold; draw the mask sets again (dvc repro masks)"
        )
    found = fixed.iloc[rows].assign(protocol=protocol, level=masks["level"].to_numpy(np.float64))
    return found.reset_index(drop=True)


def kept_steps(
    masks: pd.DataFrame, ids: list[str], lengths: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Modality -> (sum of its lengths,) bool: which steps of the utterances `ids` one level of a set keeps.

    masks: the rows of one fold and level. lengths: modality -> (N,) steps of the utterances, in their order.
    Raises UserError where the set was drawn for other features.
    """
    kept = {}
    for modality, rows in masks.groupby("modality"):
        own = dict(zip(rows["id"], zip(rows["kept"], rows["n_steps"], strict=True), strict=True))
        pieces = []
        for id, length in zip(ids, lengths[str(modality)].tolist(), strict=True):
            raw, count = own.get(id, (b"", 0))
            if count != length:
                raise UserError(
                    f"utterance {id} has {length} steps of {NAMES[str(modality)]}, its mask {count}; draw the mask "
                    "sets again (dvc repro masks)"
                )
            pieces.append(unpacked(raw, count))
        kept[str(modality)] = np.concatenate(pieces)
    return kept
