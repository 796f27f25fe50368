"""What each way to read acted speech is worth: `python -m benchmarks.speech RAVDESS`.

RAVDESS' four classes, speech alone, five folds of speakers, WAR and UAR. Trimming and the statistics were chosen on
actors 1 to 12 alone, so the scores of actors 13 to 24 stand beside those of all.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import accuracy_score, recall_score

from benchmarks.machine import machine
from benchmarks.records import keep, markdown
from cmarr.corpora.labels import select_labels
from cmarr.corpora.manifest import write_manifest
from cmarr.corpora.registry import read_corpus
from cmarr.data.load import by_id
from cmarr.encoders.registry import build_encoder
from cmarr.evaluation.predicting import runs
from cmarr.features.extract import extract
from cmarr.features.shards import load_features
from cmarr.folds.files import read_folds, write_folds
from cmarr.folds.split import split
from cmarr.task import Task
from cmarr.training.job import TrainingJob, run_job
from cmarr.training.settings import Train

TASK = Task(("angry", "happy", "neutral", "sad"))
BARE = {"percentiles": "none", "changes": "none"}
ALONE = {"learn_from": "training"}
STEPS: tuple[tuple[str, str, dict[str, Any], dict[str, Any], str], ...] = (
    ("log-mel, mean and deviation, 3/5 of the speakers", "logmel", {"trim": 0.0}, BARE | ALONE, "corpus"),
    ("silence trimmed", "logmel", {}, BARE | ALONE, "corpus"),
    ("and percentiles and changes", "logmel", {}, ALONE, "corpus"),
    ("and validation speakers learnt from: the default", "logmel", {}, {}, "corpus"),
    ("eGeMAPS, functionals", "egemaps", {}, {}, "corpus"),
    ("`normalise: speaker`: log-mel", "logmel", {}, {}, "speaker"),
    ("`normalise: speaker`: log-mel, untrimmed", "logmel", {"trim": 0.0}, {}, "speaker"),
    ("`normalise: speaker`: eGeMAPS, functionals", "egemaps", {}, {}, "speaker"),
)
"""What is said of it, encoder and its settings, the method's settings, what features are normalised by."""
METHODS = ("linear", "gaussian")


def prepared(root: Path, place: Path, encoder: str, settings: Mapping[str, Any]) -> Path:
    """A folder with manifest, folds and features; made where it is not there."""
    told = "-".join([encoder, *(f"{key}{value}" for key, value in settings.items())])
    folder = place / told
    if not (folder / "folds.parquet").is_file():
        utterances, _ = select_labels(read_corpus("ravdess", root, dataset="ravdess")[0], TASK.classes, {})
        write_manifest(folder / "manifest.parquet", utterances)
        extract(utterances, build_encoder(encoder, dict(settings), workers=2), folder / "features/speech")
        for name in ("text", "video"):
            (folder / "features" / name).mkdir(parents=True, exist_ok=True)
        write_folds(folder / "folds.parquet", split(utterances, "speaker", classes=TASK.classes))
    return folder


def answers(folder: Path, method: str, settings: Mapping[str, Any], normalise: str) -> dict[str, str]:
    """Id of every utterance -> the class that the model answered which has not heard its speaker's labels."""
    found = {}
    folds, files = read_folds(folder / "folds.parquet"), load_features(folder / "features")
    with tempfile.TemporaryDirectory() as scratch:
        for fold in folds:
            job = TrainingJob(
                method,
                fold.number,
                0,
                settings,
                Train().model_dump(),
                TASK,
                "cpu",
                manifest=folder / "manifest.parquet",
                features=folder / "features",
                folds=folder / "folds.parquet",
                folder=Path(scratch),
                normalise=normalise,
            )
            run_job(job, lambda: None)
        manifest = folder / "manifest.parquet"
        for one in runs(
            Path(scratch), manifest, files, folds, [0], task=TASK, cluster="speaker", masks={}, device="cpu"
        ):
            frame = one.parts[0][one.parts[0]["condition"] == "s"]
            columns = [f"p_{name}" for name in TASK.classes]
            best = frame[columns].to_numpy().argmax(1)
            found |= {id: TASK.classes[k] for id, k in zip(frame["id"], best, strict=True)}
    return found


def measured(root: Path, place: Path) -> Iterator[dict[str, Any]]:
    """A row a step and method: WAR and UAR of all speakers, and of those on whom nothing was chosen."""
    for told, encoder, own, settings, normalise in STEPS:
        folder = prepared(root, place, encoder, own)
        truth = by_id(folder / "manifest.parquet")
        for method in METHODS:
            given = answers(folder, method, settings, normalise)
            row: dict[str, Any] = {"step": told, "method": method}
            for name, ids in (("all", list(given)), ("unseen", [i for i in given if int(i[-2:]) > 12])):
                pair = [truth[i].label for i in ids], [given[i] for i in ids]
                row[name] = [accuracy_score(*pair), recall_score(*pair, average="macro")]
            print(row, flush=True)
            yield row


def table(content: Mapping[str, Any]) -> str:
    """A row a step, a column a method: WAR / UAR of all 24 actors, and behind it of actors 13 to 24."""
    rows: dict[str, dict[str, str]] = {}
    for row in content["rows"]:
        pairs = [" / ".join(f"{100 * x:.1f}" for x in row[name]) for name in ("all", "unseen")]
        rows.setdefault(row["step"], {})[row["method"]] = f"{pairs[0]} ({pairs[1]})"
    return markdown(("speech of RAVDESS", *METHODS), [(step, *own.values()) for step, own in rows.items()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--features", type=Path, default=Path(tempfile.gettempdir()) / "cmarr-speech")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep("speech", {"rows": list(measured(given.root, given.features)), "machine": machine()})
