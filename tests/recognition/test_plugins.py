"""A model of a method and an encoder that are not the product's own: export, load, predict, refuse."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.warm import python

ROOT = Path(__file__).parents[2]
METHOD = '''"""`own`: the linear method under another name."""

from cmarr.methods.linear import Linear


class Own(Linear):
    """What `linear` does."""


METHOD = Own
'''
ENCODER = '''"""`letters`: one row a letter."""

import numpy as np

from cmarr.declaration import Count, Section, setting
from cmarr.utterance import FeatureSequence


class Letters:
    """Codes of letters."""

    class Settings(Section):
        """one number a letter"""

        scale: Count = setting(100, "divides the codes")

    modality, dim = "t", 1

    def __init__(self, settings: Settings):
        self.scale = settings.scale

    def describe(self):
        return {"encoder": "letters", "revision": "1", "parameters": f"scale={self.scale}"}

    def encode(self, utterances):
        for utterance in utterances:
            codes = np.array([[ord(c) / self.scale] for c in utterance.text], np.float32)
            yield FeatureSequence(utterance.id, codes, np.arange(len(codes), dtype=np.float32))


ENCODER = Letters
'''
STUDY = """
import sys
import numpy as np, torch
from pathlib import Path
from cmarr import plugins
from cmarr.data.normalise import Normaliser
from cmarr.encoders.registry import build_encoder
from cmarr.features.shards import shard_path, write_shard
from cmarr.seals import write_json
from cmarr.methods.model import Model, save_model
from cmarr.methods.registry import build_method
from cmarr.task import Task
from cmarr.utterance import FeatureSequence

plugins.use(["own.py", "letters.py"])
data, task, dims = Path("data/demo"), Task(("calm", "tense")), {"t": 1}
source = {"source": "encoder", "encoder": "letters", "settings": {"scale": 50}}
write_json(data / "settings/extract/text.json", source)
frames = FeatureSequence("a", np.ones((2, 1), np.float32), np.arange(2.0))
described = build_encoder("letters", {"scale": 50}).describe() | {"modality": "t"}
write_shard(shard_path(data / "features/text", 0), [frames], described)
write_json(data / "settings/report.json", {"methods": ["own"]})
write_json(data / "settings/train/own.json", {"train": {}})
description = {"method": "own", "settings": {}, "classes": ["calm", "tense"], "dims": dims, "version": "0.1.0"}
description |= {"fold": 0, "seed": 0, "epoch": 1, "score": 0.5}
path = data / "models/own/fold0-seed0.safetensors"
path.parent.mkdir(parents=True)
save_model(path, Model(build_method("own", dims, task, {}), Normaliser(dims), torch.ones(2) / 2, task, description))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    (root / "own.py").write_text(METHOD)
    (root / "letters.py").write_text(ENCODER)
    (root / "params.yaml").write_text("dataset: demo\nplugins: [own.py, letters.py]\n")
    run(root, "-c", STUDY)
    return root


def run(folder, *words, status=0, **environment):
    here = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run([python(), *words], cwd=folder, env=here, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_a_model_of_plugins_goes_out_and_works_where_they_are_named(study, tmp_path):
    model = tmp_path / "model"
    run(study, "-m", "cmarr.cli", "export", str(model))
    described = json.loads((model / "model.json").read_text())
    assert described["plugins"] == [
        {"kind": "method", "name": "own", "file": "own.py"},
        {"kind": "encoder", "name": "letters", "file": "letters.py"},
    ]
    assert "own.py (method own), letters.py (encoder letters)" in (model / "README.md").read_text()
    asked = ["-m", "cmarr.cli", "predict", "--text", "well", "--format", "jsonl"]
    reply = run(study, *asked)
    assert json.loads(reply)["used"] == ["text"]
    asked += ["--model", str(model)]
    assert run(study, *asked) == reply  # params.yaml names the plugins
    named = os.pathsep.join(str(study / name) for name in ("own.py", "letters.py"))
    assert run(tmp_path, *asked, CMARR_PLUGINS=named) == reply

    for name in ("own.py", "letters.py"):  # what lies with a model is not run
        (model / name).write_text("raise SystemExit('this must not run')")
    refused = run(tmp_path, *asked, status=2)
    assert "the method 'own' is a plugin (own.py) and not known here; name its file in `plugins`" in refused
    assert "must not run" not in refused


def test_a_model_without_plugins_says_nothing_of_them(project, tmp_path):
    run(project, "-m", "cmarr.cli", "export", str(tmp_path / "model"))
    assert "plugins" not in json.loads((tmp_path / "model/model.json").read_text())
