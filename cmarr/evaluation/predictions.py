"""The predictions file: every number of every table is computed from it, and from nothing else.

One file a method, fold and seed; one row an utterance, protocol, level and condition:

    id, speaker   the utterance and who speaks (null where the corpus does not say)
    cluster       what is resampled together: speaker, video (MOSI, MOSEI) or dialogue (MELD)
    fold, seed    of the model that answered
    protocol      'fixed' for the seven conditions, else a name from `cmarr.masks.protocols.ANSWERED`
    level         its degree (a rate, an SNR); null in the fixed protocol
    condition     the modalities that the method was allowed to use: under 'rate' and its like those that the
                  mask set leaves this utterance; under 'frames' and 'bursts' all, of which steps are missing
    n_usable      how many of them this utterance has; 0: the answer is the training prior
    label         class name, or score
    p_<class>     class probabilities in the order of the classes; `y_hat` for a score
    uncertainty   in [0, 1]; null where nobody knows
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cmarr import objects
from cmarr.errors import UserError, many
from cmarr.masks.protocols import ANSWERED, FIXED, MASKED
from cmarr.modalities import CONDITIONS, visible
from cmarr.seals import read_table, write_table
from cmarr.task import Task
from cmarr.utterance import Utterance

NORMALISE = "normalise"
"""In a file's metadata, and in the attributes of its table: what features were standardised by."""


PRIVILEGES = "privileges"
"""The same: what the model was allowed and no other is, of a row that measures it; see `cmarr.folds.privileges`."""


def columns(task: Task) -> list[str]:
    """Names of the columns that hold the answer: `p_<class>` in class order, or `y_hat`."""
    return ["y_hat"] if task.regression else [f"p_{name}" for name in task.classes]


def schema(task: Task) -> pa.Schema:
    """Columns and types of a predictions file."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("speaker", pa.string()),
            ("cluster", pa.string()),
            ("fold", pa.int32()),
            ("seed", pa.int64()),
            ("protocol", pa.string()),
            ("level", pa.float64()),
            ("condition", pa.string()),
            ("n_usable", pa.int8()),
            ("label", pa.float64() if task.regression else pa.string()),
            *((name, pa.float64()) for name in columns(task)),
            ("uncertainty", pa.float64()),
        ]
    )


def usable_counts(available: np.ndarray, conditions: Sequence[str] = CONDITIONS) -> dict[str, np.ndarray]:
    """Condition -> (B,) how many of its modalities each utterance has; `available` (B, 3), order s, v, t."""
    return {c: (np.asarray(available, bool) & np.array(visible(c))).sum(1) for c in conditions}


def utterance_columns(utterances: Sequence[Utterance], cluster: str, task: Task) -> dict[str, list[Any]]:
    """What `predictions_frame` wants to know of utterances: who speaks, clusters (`cluster` says of what), labels."""
    return {
        "ids": [u.id for u in utterances],
        "speakers": [u.speaker for u in utterances],
        "clusters": [u.cluster(cluster) for u in utterances],
        "labels": [u.score if task.regression else u.label for u in utterances],
    }


def predictions_frame(
    *,
    ids: Sequence[str],
    speakers: Sequence[str | None],
    clusters: Sequence[str],
    labels: Sequence[str] | Sequence[float],
    n_usable: Mapping[str, np.ndarray],
    task: Task,
    prior: Sequence[float] | float,
    fold: int,
    seed: int,
    logits: Mapping[str, np.ndarray] | None = None,
    probabilities: Mapping[str, np.ndarray] | None = None,
    uncertainty: Mapping[str, np.ndarray | None] | None = None,
) -> pd.DataFrame:
    """Build the rows of a predictions file from a method's answers for B utterances, of the protocol `fixed`.

    Args:
        ids, speakers, clusters, labels: one entry an utterance; labels are class names, or scores.
        n_usable: condition -> (B,), see `usable_counts`.
        prior: the answer where nothing is usable: K class frequencies of the training split, or its score.
        logits: condition -> (B, K), or the predicted scores (B, 1) or (B,); give these or `probabilities`.
        probabilities: condition -> (B, K), classification only.
        uncertainty: condition -> (B,) in [0, 1], or None for the normalised entropy of the probabilities
            (null in regression). It is ignored where nothing is usable: the answer there is not the method's.

    Raises UserError, naming utterance and condition, where a method answered NaN or infinity.
    """
    answers = logits if logits is not None else probabilities
    if answers is None or (logits is not None and probabilities is not None):
        raise ValueError("give logits or probabilities, one of the two")
    if task.regression and probabilities is not None:
        raise ValueError("a score has no probabilities; give it as logits")
    otherwise = np.asarray(prior, np.float64)
    if not task.regression:
        otherwise = otherwise / otherwise.sum()  # in single precision frequencies add up to one but for 1e-7
    parts = []
    for condition, raw in answers.items():
        usable = np.asarray(n_usable[condition])
        values = np.asarray(raw, np.float64).reshape(len(ids), task.outputs).copy()  # (B, K)
        _require_finite(values, usable, ids, f"condition {condition}, fold {fold}, seed {seed}")
        if not task.regression and logits is not None:
            values = _softmax(values)
        values[usable == 0] = otherwise
        own = None if uncertainty is None else uncertainty.get(condition)
        doubt = _entropy(values) if not task.regression else np.full(len(ids), np.nan)
        if own is not None:
            doubt = np.where(usable == 0, doubt, np.asarray(own, np.float64))
        head: dict[str, object] = {"id": list(ids), "speaker": list(speakers), "cluster": list(clusters)}
        head |= {"fold": fold, "seed": seed, "protocol": FIXED, "level": np.nan}
        head |= {"condition": condition, "n_usable": usable, "label": list(labels)}
        body = dict(zip(columns(task), values.T, strict=True))
        parts.append(pd.DataFrame(head | body | {"uncertainty": doubt}))
    return pd.concat(parts, ignore_index=True)


def _require_finite(values: np.ndarray, usable: np.ndarray, ids: Sequence[str], where: str) -> None:
    wrong = np.flatnonzero((usable > 0) & ~np.isfinite(values).all(1))
    if len(wrong):
        raise UserError(
            f"utterance {ids[wrong[0]]}, {where}: the method answered NaN or infinity "
            f"({many(len(wrong), 'utterance')}); its training diverged, try a lower learning rate"
        )


def _softmax(logits: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # rows without a usable modality may hold anything; they are replaced
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        result: np.ndarray = shifted / shifted.sum(1, keepdims=True)
        return result


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy divided by that of the uniform distribution, so that it lies in [0, 1]."""
    terms = probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0))
    result: np.ndarray = np.clip(-terms.sum(1) / np.log(probabilities.shape[1]), 0.0, 1.0)
    return result


def predictions_path(folder: str | Path, fold: int, seed: int) -> Path:
    """Path of one file in a method's predictions folder."""
    return Path(folder) / f"fold{fold}-seed{seed}.parquet"


def normalised_by(frames: Sequence[pd.DataFrame] | pd.DataFrame) -> str:
    """What the features behind some predictions were standardised by, 'corpus' or 'speaker'."""
    parts = [frames] if isinstance(frames, pd.DataFrame) else frames
    return str(parts[0].attrs.get(NORMALISE, "corpus")) if len(parts) else "corpus"


def privileges_of(frames: Sequence[pd.DataFrame] | pd.DataFrame) -> tuple[str, ...]:
    """What the models behind some predictions were allowed and no other is, by name; nothing as a rule."""
    parts = [frames] if isinstance(frames, pd.DataFrame) else frames
    found = parts[0].attrs.get(PRIVILEGES, "") if len(parts) else ""
    return tuple(found.split())


def write_predictions(path: str | Path, frame: pd.DataFrame, task: Task) -> None:
    """Validate and write one predictions file atomically; equal rows give equal bytes.

    What the features were standardised by, `frame.attrs["normalise"]`, stands in the metadata if it is not the corpus;
    so do the privileges of its model.

    Raises UserError where a row is not an answer: see `check_predictions`.
    """
    check_predictions(frame, task, where=str(path))
    wanted = schema(task)
    table = pa.Table.from_pandas(frame[wanted.names], wanted, preserve_index=False)
    found = normalised_by([frame])
    how = {} if found == "corpus" else {NORMALISE: found}
    how |= {PRIVILEGES: " ".join(taken)} if (taken := privileges_of(frame)) else {}
    write_table(path, table.replace_schema_metadata(how or None), compression="zstd")


def read_predictions(path: str | Path, protocol: str | None = FIXED) -> pd.DataFrame:
    """Read one predictions file: the rows of one protocol, or of all (None).

    Raises UserError when it is absent, damaged, or without a row of that protocol.
    """
    table = read_table(path, "evaluate the method again")
    frame = table.to_pandas()
    check_predictions(frame, task_of(frame, where=str(path)), where=str(path))
    about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if protocol is not None:
        frame = frame[frame["protocol"] == protocol].reset_index(drop=True)
    frame.attrs[NORMALISE] = about.get(NORMALISE, "corpus")
    frame.attrs[PRIVILEGES] = about.get(PRIVILEGES, "")
    if frame.empty:
        raise UserError(
            f"{path}: holds nothing for the protocol {protocol!r}; add it to `protocols` in params.yaml"
        )
    return frame


def read_folder(folder: str | Path, protocol: str | None = FIXED) -> list[pd.DataFrame]:
    """Every predictions file of a method, by fold, then seed, as `read_predictions` reads it.

    Raises UserError where there is none.
    """
    paths = objects.found(folder, "fold*-seed*.parquet")
    frames = [read_predictions(path, protocol) for path in paths]
    if not frames:
        raise UserError(
            f"{folder}: holds no predictions (fold*-seed*.parquet); run the method's evaluation first"
        )
    return sorted(frames, key=lambda frame: (frame["fold"].iloc[0], frame["seed"].iloc[0]))


def task_of(frame: pd.DataFrame, where: str = "predictions") -> Task:
    """The task that a predictions frame answers, from its columns."""
    classes = tuple(name[2:] for name in frame.columns if name.startswith("p_"))
    if not classes and "y_hat" not in frame:
        raise UserError(f"{where}: has neither p_<class> columns nor y_hat, so it holds no predictions")
    return Task(classes)


def check_predictions(frame: pd.DataFrame, task: Task, where: str = "predictions") -> None:
    """Raise UserError, naming `where` and the first utterance concerned, unless every row is valid."""
    missing = [name for name in schema(task).names if name not in frame]
    if missing:
        raise UserError(f"{where}: columns {', '.join(missing)} are missing")
    if frame.empty:
        raise UserError(f"{where}: no utterance was predicted; is the test split of this fold empty?")
    answers = frame[columns(task)].to_numpy(np.float64)
    size = frame["condition"].str.len()
    fixed = frame["protocol"] == FIXED
    place = frame.assign(condition=frame["condition"].where(~frame["protocol"].isin(MASKED)))
    checks = {
        "unknown protocol (known: " + ", ".join(ANSWERED) + ")": ~frame["protocol"].isin(ANSWERED),
        "a level that is no number": ~fixed & ~np.isfinite(frame["level"]),
        "a level in the fixed protocol": fixed & frame["level"].notna(),
        "unknown condition (known: " + ", ".join(CONDITIONS) + ")": ~frame["condition"].isin(CONDITIONS),
        "n_usable outside 0 ... size of the condition": (frame["n_usable"] < 0) | (frame["n_usable"] > size),
        "no cluster": frame["cluster"].isna(),
        "no label": frame["label"].isna(),
        "an answer that is NaN or infinite": ~np.isfinite(answers).all(1),
        "uncertainty outside [0, 1]": ~(frame["uncertainty"].isna() | frame["uncertainty"].between(0, 1)),
        "the same utterance twice under one condition, or at one level of a mask set": place.duplicated(
            ["id", "protocol", "level", "condition"]
        ),
        "another fold or seed than the rest of the file": (frame["fold"] != frame["fold"].iloc[0])
        | (frame["seed"] != frame["seed"].iloc[0]),
    }
    if not task.regression:
        off = (answers < 0).any(1) | (np.abs(answers.sum(1) - 1) > 1e-6)
        checks["probabilities that are not between 0 and 1 with sum 1"] = off
        checks[f"a label that is no class ({', '.join(task.classes)})"] = ~frame["label"].isin(task.classes)
    for fault, rows in checks.items():
        if np.any(rows):
            first = frame.loc[np.asarray(rows)].iloc[0]
            raise UserError(f"{where}: utterance {first['id']}, condition {first['condition']}: {fault}")
