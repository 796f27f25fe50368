"""The numbers of the CM-ARR paper, and ours where it gives none, as the presets `paper` and `paper-frozen` set them."""

import pytest

from cmarr.settings.load import load_settings
from tests.settings.test_load import PRESETS, edited

OBJECTIVE = {"alpha": 1.0, "beta": 0.1, "lambda_": 10.0}
ALIGNMENT = {
    "contrast": "distribution",
    "sigma": "deviation",
    "similarity_scale": "learned",
    "tau": 0.07,
    "directions": "sum",
    "entropy_weight": 0.0,
}
RECONSTRUCTION = {
    "flow_input": "mu",
    "resample_first": False,
    "recovery": "flow",
    "averaging": "equal",
    "reconstruction": "mean_squared",
    "nll_weight": 0.0,
    "zero_start": False,
    "dropout": 0.1,
    "mixing": "lu",
    "coupling_hidden": "d",
    "normalise": True,
}
FULL = {"d": 128, "length": 50, "flow_steps": 8, "blocks": 4, "heads": 4}
REFINEMENT = {
    "temperature": 0.07,
    "same_utterance": False,
    "fusion": "three_blocks",
    "query": "text",
    "staged": False,
}
TRAIN = {
    "lr": 1e-5,
    "batch_size": 16,
    "epochs": 100,
    "patience": 0,
    "weight_decay": 0.0,
    "clip": 1.0,
    "clip_by": "whole",
    "schedule": "constant",
    "masks": "sample",
    "mask_conditions": "seven",
    "refit": False,
    "selection_folds": 1,
}


def settings(tmp_path, preset):
    return load_settings(edited(tmp_path, ("preset: auto ", f"preset: {preset} ")), PRESETS)


def differing(section, wanted):
    return {key: getattr(section, key) for key, value in wanted.items() if getattr(section, key) != value}


@pytest.mark.parametrize("preset", ["paper", "paper-frozen", "paper-msp-improv"])
def test_the_papers_numbers(tmp_path, preset):
    found = settings(tmp_path, preset)
    assert not differing(found, OBJECTIVE)
    assert not differing(found.method.cmarr, ALIGNMENT | RECONSTRUCTION | FULL | REFINEMENT)
    assert not differing(found.train, TRAIN)
    assert found.method.cmarr.train == {}  # nothing of its own in between


def test_the_presets_differ_in_what_their_names_say(tmp_path):
    paper, frozen, half = (settings(tmp_path, p) for p in ("paper", "paper-frozen", "paper-beta0.5"))
    assert (paper.finetune.encoders, frozen.finetune.encoders) == (("wav2vec2", "bert"), ())
    assert paper.encoders == frozen.encoders
    assert (frozen.encoders.speech, frozen.encoders.video, frozen.encoders.text) == (
        "wav2vec2",
        "denseface",
        "bert",
    )
    left = {"preset", "finetune"}
    assert paper.model_dump(exclude=left) == frozen.model_dump(exclude=left)
    assert half.model_dump(exclude={"preset", "beta"}) == frozen.model_dump(exclude={"preset", "beta"})
    assert half.beta == 0.5


def test_frozen_features_take_a_larger_learning_rate(tmp_path):
    assert settings(tmp_path, "frozen").train.lr == 5e-4
    assert not differing(settings(tmp_path, "frozen"), OBJECTIVE)
