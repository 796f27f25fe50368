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


def test_the_clusters_of_a_model_are_measured_and_placed(corpus):
    import pandas as pd

    from stages import clusters

    corpus.settings("masked", {"d": 8, "length": 4, "heads": 2})
    train.main("tiny", "masked")
    clusters.main("tiny", "masked")
    folder = corpus.root / "data/tiny/predictions/masked.clusters"
    measured, points = (pd.read_parquet(folder / f"{name}.parquet") for name in ("measured", "points"))
    assert set(measured["condition"]) == {"t", "s", "v", "vt", "sv", "st", "svt"}
    assert set(measured["fold"]) == {1, 2}
    assert measured["silhouette"].between(-1, 1).all()
    assert "u03" not in set(measured[measured["condition"] == "v"]["id"])  # it has no face
    assert set(points["label"]) == {"calm", "tense"}
