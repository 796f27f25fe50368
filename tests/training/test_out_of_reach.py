"""Training cannot know the test data: by construction, and whatever they hold."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cmarr.corpora.manifest import read_manifest, write_manifest
from cmarr.data.load import by_id
from cmarr.encoders.tfidf import TfIdf
from cmarr.features.shards import load_features, read_features, shard_path, write_shard
from cmarr.folds.files import read_folds
from cmarr.methods.model import load_model
from cmarr.modalities import NAMES
from cmarr.training.job import run_job
from cmarr.utterance import FeatureSequence, Utterance
from tests.training.conftest import CLASSES, job_of

ROOT = Path(__file__).parents[2]
SMALL = {"d": 8, "length": 4, "heads": 2}
METHODS = {
    "cmarr": {**SMALL, "flow_steps": 1, "blocks": 1},
    "masked": SMALL,
    "linear": {},
    "gaussian": {},
    "gbdt": {"rounds": 5, "leaves": 4, "smallest_leaf": 2},
}
DATA = Path("data/tiny")


def weights(method: str, folder: str, first_stage: bool = False) -> bytes:
    """The model file of fold 1, trained in the working directory: weights, normalisation, prior, description."""
    settings = {"d": 8} if first_stage else METHODS[method]
    job = job_of(method, folder, settings, first_stage=first_stage)
    run_job(job, lambda: None)
    return (Path(folder) / f"{job.name}.safetensors").read_bytes()


def corrupt(part: str) -> None:
    """Give every utterance of a part of fold 1 a label that is no class, and features of another size and length."""
    ids = set(getattr(read_folds(DATA / "folds.parquet")[0], part))
    utterances = read_manifest(DATA / "manifest.parquet")
    spoilt = [replace(u, label="spoilt", speaker="nobody") if u.id in ids else u for u in utterances]
    write_manifest(DATA / "manifest.parquet", spoilt)
    for name in NAMES.values():
        table = read_features(DATA / "features" / name)
        sequences = []
        for id, start, end in zip(table.ids, table.offsets[:-1], table.offsets[1:], strict=True):
            frames = np.full((9, table.dim), 1e6, np.float32) if id in ids else table.values[start:end]
            sequences.append(FeatureSequence(id, frames, np.arange(len(frames))))
        write_shard(shard_path(DATA / "features" / name, 0), sequences, {"encoder": "x"})


@pytest.mark.parametrize("method", METHODS)
def test_corrupted_test_labels_and_features_leave_the_same_weights(corpus, method):
    before = weights(method, "before")
    corrupt("test")
    assert weights(method, "after") == before


def test_so_does_the_model_that_a_method_starts_from(corpus):
    before = weights("mmin", "before", first_stage=True)
    corrupt("test")
    assert weights("mmin", "after", first_stage=True) == before


def write_texts(texts: dict[str, str]) -> None:
    """Extract the transcripts by the encoder whose weights of terms are fitted in training."""
    encoder = TfIdf(TfIdf.Settings(terms=64, directions=5))
    found = encoder.encode([Utterance(id, text=text) for id, text in texts.items()])
    write_shard(shard_path(DATA / "features" / "text", 0), list(found), encoder.describe())


@pytest.mark.parametrize("method", ["masked", "linear"])
def test_a_test_transcript_changes_no_training_row_and_no_weight_of_a_term(corpus, method):
    fold = read_folds(DATA / "folds.parquet")[0]
    texts = {u.id: f"it is {u.label} {i}" for i, u in enumerate(read_manifest(DATA / "manifest.parquet"))}
    write_texts(texts)
    before, table = weights(method, "before"), read_features(DATA / "features" / "text")
    write_texts(texts | dict.fromkeys([*fold.test], "quite another transcript, that is tense and calm"))
    assert weights(method, "after") == before
    other = read_features(DATA / "features" / "text")
    same = [np.array_equal(a, b) for a, b in zip(table.values, other.values, strict=True)]
    assert [id for id, equal in zip(table.ids, same, strict=True) if not equal] == [*map(str, fold.test)]
    write_texts(texts | {fold.train[0]: "quite another transcript"})
    assert weights(method, "noticed") != before
    model = load_model("before/fold1-seed0.safetensors")
    assert model.description["dims"]["t"] == 5 and model.widths_read["t"] == 64


def test_the_comparison_would_notice(corpus):
    """What the tests above corrupt does reach the weights where it may: another training label, another model."""
    before = weights("masked", "before")
    fold = read_folds(DATA / "folds.parquet")[0]
    utterances = read_manifest(DATA / "manifest.parquet")
    other = {CLASSES[0]: CLASSES[1], CLASSES[1]: CLASSES[0]}
    swapped = [replace(u, label=other[u.label]) if u.id == fold.train[0] else u for u in utterances]
    write_manifest(DATA / "manifest.parquet", swapped)
    assert weights("masked", "after") != before


def test_normalisation_is_that_of_the_training_frames(corpus):
    weights("masked", "model")
    normaliser = load_model("model/fold1-seed0.safetensors").normaliser
    train = set(read_folds(DATA / "folds.parquet")[0].train) & set(by_id(DATA / "manifest.parquet"))
    for m, table in load_features(DATA / "features").items():
        spans = zip(table.ids, table.offsets[:-1], table.offsets[1:], strict=True)
        frames = np.concatenate([table.values[a:b] for id, a, b in spans if id in train])
        torch.testing.assert_close(
            getattr(normaliser, f"mean_{m}"), torch.from_numpy(frames.astype(np.float64).mean(0)).float()
        )
        torch.testing.assert_close(
            getattr(normaliser, f"scale_{m}"), torch.from_numpy(frames.astype(np.float64).std(0)).float()
        )


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "cmarr/training").glob("*.py")), ROOT / "stages/train.py", ROOT / "stages/pretrain.py"],
    ids=lambda path: path.stem,
)
def test_nothing_that_trains_reads_a_folds_test_part(path):
    read = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert "test" not in read
