"""The datasets that params.yaml offers, and the readers behind them."""

from pathlib import Path

import pytest

from cmarr.corpora.labels import EMOTIONS
from cmarr.corpora.registry import corpus_inventory, corpus_published
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
