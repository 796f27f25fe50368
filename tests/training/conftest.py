"""A corpus of random features as the pipeline leaves it: the fixture `corpus`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmarr.corpora.manifest import write_manifest
from cmarr.features.shards import shard_path, write_shard
from cmarr.folds.files import Fold, write_folds
from cmarr.masks.files import write_description
from cmarr.modalities import NAMES
from cmarr.seals import write_json
from cmarr.task import Task
from cmarr.training.job import TrainingJob
from cmarr.utterance import FeatureSequence, Utterance

CLASSES = ["calm", "tense"]
MACHINE = {"workers": 1, "device": "cpu", "memory": "auto", "executor": "local"}
"""What `run.json` says."""

FIT = {
    "patience": 0,
    "weight_decay": 0.0,
    "clip": 1.0,
    "selection": "mean7",
    "masks": "sample",
    "mask_conditions": "seven",
}
"""What `fit` is told where a test is about something else."""

TRAIN = {
    "lr": 1e-3,
    "batch_size": 8,
    "epochs": 2,
    "patience": 0,
    "betas": [0.9, 0.999],
    "weight_decay": 0.0,
    "schedule": "linear",
    "decay": 0.5,
    "plateau": 5,
    "clip": 1.0,
    "clip_by": "part",
    "selection": "mean7",
    "masks": "sample",
    "mask_conditions": "seven",
    "refit": False,
    "selection_folds": 1,
    "threads": 1,
    "labels": 1.0,
    "holes": 0.0,
}


@dataclass(frozen=True)
class Corpus:
    """Where it lies, and a settings file for a stage of it."""

    root: Path

    def settings(self, method: str, settings: dict, *, file: str = "", **changes) -> None:
        """Write what the stage `settings` would write for a method (or, as `pretrain/<method>`, its stage 1)."""
        whole = {
            "method": method,
            "settings": settings,
            "train": TRAIN,
            "trials": [{}],
            "starts_from": None,
            "seeds": [0],
            "device": "cpu",
            "classes": CLASSES,
            "cluster": "speaker",
            "task": "classification",
        }
        name = file or method
        stages = [] if "/" in name else ["train/", "evaluate/", "recovery/", "clusters/"]
        for stage in stages or [""]:
            write_json(self.root / f"data/tiny/settings/{stage}{name}.json", whole | changes)


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Corpus:
    """24 utterances of two classes, two folds; the working directory is the project's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return make_corpus(tmp_path)


def make_corpus(tmp_path: Path) -> Corpus:
    """The fixture's files, in any folder."""
    generator = np.random.default_rng(0)
    labels = [i % 2 for i in range(24)]
    ids = [f"u{i:02d}" for i in range(24)]
    for modality, name in NAMES.items():
        sequences = []
        for id, label in zip(ids, labels, strict=True):
            frames = generator.normal(size=(generator.integers(1, 5), 4)) + 2 * label
            if modality == "v" and id == "u03":
                continue  # naturally absent
            sequences.append(FeatureSequence(id, frames.astype(np.float32), np.arange(len(frames))))
        write_shard(shard_path(tmp_path / "data/tiny/features" / name, 0), sequences, {"encoder": "x"})
    utterances = [Utterance(id, label=CLASSES[label]) for id, label in zip(ids, labels, strict=True)]
    write_manifest(tmp_path / "data/tiny/manifest.parquet", utterances)
    folds = [Fold(1, ids[:12], ids[12:18], ids[18:]), Fold(2, ids[12:], ids[:6], ids[6:12])]
    write_folds(tmp_path / "data/tiny/folds.parquet", folds)
    write_json(tmp_path / "data/tiny/settings/run.json", MACHINE)
    write_description(tmp_path / "data/tiny/masks", {"protocols": {}, "absent": {}, "unseen": False})
    return Corpus(tmp_path)


def job_of(method: str, folder: str | Path, settings: dict[str, Any], **changes: Any) -> TrainingJob:
    """Fold 1, seed 0 of the corpus in the working directory; the model and its costs go to `folder`."""
    data = Path("data/tiny")
    own = {
        "method": method,
        "fold": 1,
        "seed": 0,
        "settings": settings,
        "train": TRAIN,
        "task": Task(tuple(CLASSES)),
        "device": "cpu",
        "manifest": data / "manifest.parquet",
        "features": data / "features",
        "folds": data / "folds.parquet",
        "folder": Path(folder),
    }
    return TrainingJob(**own | changes)
