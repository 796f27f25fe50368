"""MCUR and its ablations through the stages: a teacher of their own where they have one."""

import json

import pytest

from cmarr.methods.model import load_model
from stages import evaluate, pretrain, train

SMALL = {"d": 8, "latents": 2, "heads": 2, "depth": 1, "warm_up": 1}
FIRST = {"d": 8, "latents": 2, "heads": 2, "depth": 1}


@pytest.mark.parametrize("teacher", ["pretrained", "average"])
def test_from_features_to_scores(corpus, teacher):
    taught = teacher == "pretrained"
    corpus.settings("mcur", FIRST, file="pretrain/variant", first_stage=taught)
    settings = SMALL | {"teacher": teacher}
    corpus.settings("mcur", settings, file="variant", starts_from="variant" if taught else None)
    pretrain.main("tiny", "variant")
    train.main("tiny", "variant")
    evaluate.main("tiny", "variant")
    scores = json.loads((corpus.root / "metrics/tiny/variant.json").read_text())
    assert all(0 <= cell["mean"] <= 1 for cell in scores["UAR"].values())
    first = json.loads((corpus.root / "metrics/tiny/variant/pretrain.json").read_text())
    assert (first["seconds"] > 0) is taught

    own = load_model(corpus.root / "data/tiny/models/variant/fold1-seed0.safetensors")
    trained = [p.numel() for n, p in own.method.named_parameters() if not n.startswith("average.")]
    cost = json.loads((corpus.root / "metrics/tiny/variant/cost.json").read_text())
    assert cost["parameters"] == sum(trained)  # an average of weights is no weight that is trained
