"""The datasets that params.yaml offers, and the readers behind them."""

import os
from pathlib import Path

import miniatures
import pytest

from cmarr.corpora.labels import EMOTIONS
from cmarr.corpora.registry import corpus_inventory, corpus_published, read_corpus
from cmarr.errors import UserError
from cmarr.plugins import READERS, module_of, names
from cmarr.settings.load import read_yaml

ROOT = Path(__file__).parents[2]
DATASETS = read_yaml(ROOT / "params.yaml")["datasets"]
MANUAL = (ROOT / "docs/corpora.md").read_text()


@pytest.mark.parametrize("name", DATASETS)
def test_an_offered_dataset_can_be_read_as_it_is_described(name):
    dataset = DATASETS[name]
    assert dataset["kind"] in names(READERS)
    assert {*dataset["classes"], *dataset["merge"], *dataset["merge"].values()} <= set(EMOTIONS)
    assert (dataset["task"] == "regression") == (not dataset["classes"])
    assert (ROOT / "presets" / f"{dataset['preset']}.yaml").is_file()
    if dataset["features"] == "corpus":
        assert hasattr(module_of(READERS, dataset["kind"]), "features")
    if name not in ("demo", "mosi"):
        assert f"| `{name}` | `{dataset['kind']}` |" in MANUAL


@pytest.mark.parametrize("name", [n for n in DATASETS if DATASETS[n]["kind"] != "demo"])
def test_the_options_of_an_offered_dataset_exist(name, tmp_path):
    dataset = DATASETS[name]
    with pytest.raises(UserError, match=r"options.nonsense: this corpus has no such option"):
        corpus_inventory(dataset["kind"], tmp_path, dataset=name, **dataset["options"], nonsense=1)
        corpus_published(dataset["kind"], tmp_path, [], dataset=name, **dataset["options"], nonsense=1)


@pytest.mark.parametrize("kind", names(READERS))
def test_a_reader_says_what_it_looks_for(kind):
    module = module_of(READERS, kind)
    assert module.LAYOUT and module.read.__doc__


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


@pytest.mark.parametrize(
    ("kind", "make", "pattern"),
    [
        ("manifest", lambda root: (root / "manifest.csv").touch(), "*.csv"),
        ("manifest", lambda root: (root / "manifest.parquet").touch(), "*.parquet"),
        ("mmsa", lambda root: (root / "feat.pkl").touch(), "*.pkl"),
        ("iemocap", lambda root: miniatures.iemocap(root, sessions=(1,), media=False), "*.txt"),
        ("msp_improv", lambda root: miniatures.msp_improv(root, sessions=(1,)), "Evalution.txt"),
        ("meld", miniatures.meld, "*.csv"),
        ("cmu", miniatures.mosi_raw, "label.csv"),
        ("mmin", lambda root: miniatures.mmin(root, sessions=(1,)), "*.h5"),
        ("mmin", lambda root: miniatures.mmin(root, sessions=(1,)), "*.npy"),
    ],
)
def test_a_pointer_of_git_lfs_is_named_as_such_whatever_it_stands_for(tmp_path, kind, make, pattern):
    make(tmp_path)
    for path in tmp_path.rglob(pattern):
        path.write_bytes(POINTER)
    with pytest.raises(UserError, match="is a pointer of Git LFS and not the file; run `git lfs pull`"):
        read_corpus(kind, tmp_path, dataset="mine")


def test_a_name_that_no_manifest_can_hold_costs_its_utterance_alone(tmp_path):
    for folder, actor in ((b"caf\xe9", 1), (b"plain", 2)):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + folder))).mkdir()
        name = f"03-01-03-01-01-01-{actor:02d}.wav"
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + folder), name).touch()
    (utterance,), (rejected,) = read_corpus("ravdess", tmp_path, dataset="mine")
    assert (
        utterance.speaker == "Actor_02"
        and "holds bytes that are no UTF-8; rename the file" in rejected.reason
    )
    rejected.reason.encode("utf-8")
