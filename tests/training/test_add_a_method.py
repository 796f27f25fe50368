"""docs/add-a-method.md, followed to the letter from outside the repository."""

import json
import os
import re
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from tests.documented import blocks
from tests.outside import ROOT, page_file, run, write_params
from tests.warm import python

PAGE = "add-a-method.md"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--assert", "plain", "-n", "0")


def test_the_method_of_the_page_obeys_the_protocol(tmp_path):
    (tmp_path / "project").mkdir()
    method = page_file(PAGE, tmp_path / "project")
    done = subprocess.run(
        [python(), *PYTEST, "tests/methods/test_protocol.py", "-k", "average"],
        cwd=ROOT,
        env=os.environ | {"CMARR_PLUGINS": str(method)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d{2} passed", done.stdout)


@pytest.mark.slow
def test_one_file_is_trained_evaluated_and_exported(corpus):
    project = corpus.root / "project"
    project.mkdir()
    page_file(PAGE, project)
    plugins, section = (YAML(typ="safe", pure=True).load(block) for block in blocks(PAGE, "yaml"))
    write_params(
        project,
        **plugins,
        methods=["average"],
        method__average=section["average"],
        datasets__demo__classes=["calm", "tense"],
        train__lr=0.01,
        workers=1,
    )
    shutil.copytree(corpus.root / "data/tiny", project / "data/demo")
    for stage in ("settings demo", "pretrain demo average", "train demo average", "evaluate demo average"):
        name, *arguments = stage.split()
        run("-m", f"stages.{name}", *arguments, cwd=project)
    scores = json.loads((project / "metrics/demo/average.json").read_text())
    assert scores["UAR"]["svt"]["mean"] >= 0.5
    settings = json.loads((project / "data/demo/settings/train/average.json").read_text())
    assert (settings["settings"], settings["train"]["epochs"]) == ({"width": 16}, 30)
    model = project / "data/demo/models/average/fold1-seed0.safetensors"
    load = (
        f"from cmarr.methods.model import load_model; print(type(load_model({str(model)!r}).method).__name__)"
    )
    assert run("-c", load, cwd=project, CMARR_PLUGINS=str(corpus.root / "mine/average.py")) == "Average\n"
    assert "'average' is not a method" in run("-c", load, cwd=project, fails=True)
