"""Labels, speakers and features as a caller has them, in lists, NumPy, pandas or PyTorch, as a corpus takes them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmarr.errors import UserError, many
from cmarr.utterance import FeatureSequence, Utterance, real_numbers

FEWEST = 3
"""Speakers that folds which keep them apart need: to train, to validate, to test."""


def entries(values: Any, what: str) -> list[Any]:
    """One entry an utterance. Raises UserError, naming `what`, for a thing that has none.

    >>> entries(pd.DataFrame({"a": [1, 2], "b": [3, None]}), "speech")[1]
    array([ 2., nan])
    """
    if isinstance(values, pd.DataFrame):
        try:
            values = values.to_numpy(dtype=float, na_value=np.nan)
        except (ValueError, TypeError):  # whoever needs numbers says which entry holds none
            values = values.to_numpy()
    elif hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    elif isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(float), np.nan)
    try:
        if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
            return list(values)
    except TypeError:  # an array without dimensions
        pass
    raise UserError(
        f"{what}: a {type(values).__name__} where one entry an utterance is due; give a list or an array"
    )


def column(values: Any, what: str) -> list[Any]:
    """One name or number an utterance. Raises UserError for an entry that is missing, or is more than that.

    >>> column(pd.Series(["a", "b"], dtype="category"), "labels")
    ['a', 'b']
    """
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    found = entries(values, what)
    for place, value in enumerate(found):
        if np.ndim(value):
            raise UserError(
                f"{what}: entry {place} has the shape {np.shape(value)}; give one name or number each"
            )
        if pd.isna(value) or not str(value).strip():
            raise UserError(f"{what}: entry {place} is missing; leave such an utterance out, or name it")
    return found


def are_scores(labels: Sequence[Any]) -> bool:
    """Whether labels are numbers, of which no truth value is one.

    >>> are_scores([0.5, 2]), are_scores([True, False]), are_scores(["0.5", "2"])
    (True, False, False)
    """
    return bool(labels) and all(
        isinstance(label, int | float | np.number) and not isinstance(label, bool) for label in labels
    )


def about_labels(labels: Sequence[Any], regression: bool) -> tuple[str, ...]:
    """What is worth telling of them. Raises UserError where nothing can be learnt from them."""
    if not labels:
        raise UserError("labels: there are none; give one an utterance")
    if regression:
        if not np.isfinite(np.asarray(labels, float)).all():
            raise UserError("labels: one is infinite; give a number each")
        if len(set(labels)) <= 20 and all(float(label).is_integer() for label in labels):
            return (
                "The labels are numbers, so their regression is the task; classes have names: str(label).",
            )
    elif len({str(label) for label in labels}) < 2:
        raise UserError(f"labels: all are {str(labels[0])!r}; two classes are the least")
    return ()


def utterances_of(
    labels: Sequence[Any], columns: Mapping[str, Any], regression: bool
) -> tuple[list[Utterance], int]:
    """One a label, and how many speakers there are.

    columns: 'speaker', 'session', 'split', 'id' -> one an utterance, or None

    Raises UserError for columns of another length, and where nothing says what may train.
    """
    count = len(labels)
    given = {
        key: [str(v) for v in column(values, f"{key}s")]
        for key, values in columns.items()
        if values is not None
    }
    for key, names in given.items():
        if len(names) != count:
            raise UserError(f"{key}s: {len(names)} of them for {many(count, 'label')}; give one each")
    if not given.keys() & {"speaker", "session", "split"}:
        raise UserError(
            "speakers: without speakers, sessions or splits nobody knows what may train and what may test; give one"
        )
    speakers = len(set(given.get("speaker", ())))
    if not given.keys() & {"session", "split"} and speakers < FEWEST:
        raise UserError(
            f"speakers: {speakers} of them, where {FEWEST} are the least: one to train on, one to choose by, one to "
            "test; give sessions or splits if speakers need not be kept apart"
        )
    ids = given.pop("id", [f"{i:06d}" for i in range(count)])
    found = []
    for i, label in enumerate(labels):
        own = {key: names[i] for key, names in given.items()}
        found.append(
            Utterance(
                ids[i],
                label=None if regression else str(label),
                score=float(label) if regression else None,
                speaker=own.get("speaker"),
                session=own.get("session"),
                split=own.get("split"),
            )
        )
    return found, speakers


def features_of(ids: Sequence[str], arrays: Any, modality: str) -> list[FeatureSequence]:
    """The features of those utterances that have some.

    Raises UserError for entries that do not fit to the utterances or to one another, and where there is none.
    """
    given = entries(arrays, modality)
    if len(given) != len(ids):
        raise UserError(f"{modality}: {len(given)} entries for {many(len(ids), 'label')}; give one each")
    sequences, width = [], "D"
    for id, entry in zip(ids, given, strict=True):
        what = f"{modality}: entry {id}"
        if hasattr(entry, "detach"):
            entry = entry.detach().cpu().numpy()
        frames = None if entry is None or entry is pd.NA else np.atleast_2d(real_numbers(entry, what))
        if frames is None or not frames.size or np.isnan(frames).all():
            continue
        if frames.ndim == 2 and width == "D":
            width = str(frames.shape[1])
        if frames.ndim != 2 or str(frames.shape[1]) != width:
            raise UserError(f"{what} has the shape {frames.shape}, where (frames, {width}) is due")
        if not np.isfinite(frames).all():
            raise UserError(
                f"{what} holds NaN or infinity; give None, or NaN throughout, where it is absent, "
                "and a number of your own for a single one that is missing"
            )
        sequences.append(FeatureSequence(id, frames, np.arange(len(frames), dtype=np.float32)))
    if not sequences:
        raise UserError(
            f"{modality}: every entry is empty, None or NaN; leave {modality} out, or give features"
        )
    return sequences
