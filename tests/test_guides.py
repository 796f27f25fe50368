"""docs/add-a-corpus.md and docs/add-an-encoder.md, followed to the letter from outside the repository."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ruamel.yaml import YAML

import stages.prepare
import stages.settings
from cmarr.corpora.labels import EMOTIONS
from cmarr.corpora.manifest import read_manifest
from cmarr.errors import UserError
from cmarr.features.shards import read_features
from cmarr.plugins import VARIABLE
from cmarr.seals import read_json
from cmarr.settings.load import load_settings, read_yaml
from cmarr.settings.resolve import resolve
from tests.documented import blocks
from tests.outside import page_file, run, write_params


def shown(page: str, number: int) -> dict:
    """A page's block of YAML."""
    return YAML(typ="safe", pure=True).load(blocks(page, "yaml")[number])


@pytest.fixture
def project(tmp_path):
    """A project with both plugins, beside a corpus as the page describes it."""
    project, corpus = tmp_path / "project", tmp_path / "corpora/kitchen"
    project.mkdir()
    corpus.mkdir(parents=True)
    for stem in ("ann_happy_07", "bob_sad_01", "bob_sad_00", "holiday"):
        soundfile.write(corpus / f"{stem}.wav", np.zeros(16_000), 16_000)
    (corpus / "ann_happy_07.txt").write_text("pass me a bee")
    for page in ("add-a-corpus.md", "add-an-encoder.md"):
        page_file(page, project)
    plugins = [p for page in ("add-a-corpus.md", "add-an-encoder.md") for p in shown(page, 0)["plugins"]]
    section = shown("add-a-corpus.md", 1)["kitchen"]
    assert set(section["classes"]) <= set(EMOTIONS)
    write_params(
        project,
        plugins=plugins,
        dataset="kitchen",
        datasets__kitchen=section,
        encoders__text="letters",
        encoders__letters=shown("add-an-encoder.md", 1)["letters"],
        workers=1,
    )
    return project


def test_a_corpus_and_an_encoder_of_ones_own_are_read_and_extracted(project):
    for stage in ("settings kitchen", "corpus kitchen", "prepare kitchen", "extract kitchen text"):
        name, *arguments = stage.split()
        run("-m", f"stages.{name}", *arguments, cwd=project)
    found = read_manifest(project / "data/kitchen/manifest.parquet")
    assert [(u.id, u.label, u.speaker, u.text) for u in found] == [
        ("ann_happy_07", "happy", "ann", "pass me a bee"),
        ("bob_sad_01", "sad", "bob", None),
    ]
    table = read_features(project / "data/kitchen/features/text")
    assert table.values.shape == (4, 20) and table.values[3, 4] == 2  # pass me a bee
    extraction = read_json(project / "data/kitchen/settings/extract/text.json", "")
    assert (extraction["encoder"], extraction["settings"]) == ("letters", {"count": 20})
    before = extraction["code"]
    letters = project.parent / "mine/letters.py"
    letters.write_text(letters.read_text().replace('"revision": "1"', '"revision": "2"'))
    run("-m", "stages.settings", "kitchen", cwd=project)
    assert read_json(project / "data/kitchen/settings/extract/text.json", "")["code"] != before


def test_the_doctor_knows_them(project):
    said = run(
        "-m", "cmarr.cli", "doctor", "kitchen", cwd=project, fails=True
    )  # two clips are too few for folds
    assert "kind kitchen" in said and "letters, ready" in said and "holiday.wav" in said


@pytest.fixture
def here(project, monkeypatch):
    """The project, in which this process works; it forgets the plugins afterwards."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(project)
    yield project
    for name in ("kitchen", "letters"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoders__letters": {"cuont": 3}}, r"encoders.letters.cuont' does not exist; did you mean 'count'\?"),
        ({"encoders__letters": {"count": 27}}, "encoders.letters.count: input should be less than or equal to 26"),
        ({"encoders__text": "lettres"}, r"'lettres' does not encode text; there are .*; did you mean 'letters'\?"),
        ({"datasets__kitchen__kind": "kitchn"}, r"'kitchn' is not a kind of corpus; .*; did you mean 'kitchen'\?"),
        ({"plugins": ["../mine/latters.py"]}, "plugins: .*latters.py does not exist"),
        ({"plugins": ["nowhere.letters"]}, "plugins: there is no module 'nowhere.letters' here"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_as_with_the_products_own(here, changes, said):
    params = read_yaml("params.yaml")
    for key, value in changes.items():
        *above, last = key.split("__")
        section = params
        for part in above:
            section = section[part]
        section[last] = value
    Path("params.yaml").write_text(json.dumps(params))
    with pytest.raises(UserError, match=said):
        resolve(load_settings("params.yaml", "presets"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frist": 1}, r"datasets.kitchen.options.frist: this corpus has no such option; did you mean 'first'\?"),
        ({"first": -1}, "datasets.kitchen.options.first: input should be greater than or equal to 0, not -1"),
    ],
)  # fmt: skip
def test_an_option_that_its_reader_does_not_declare_is_refused(here, options, said):
    params = read_yaml("params.yaml")
    params["datasets"]["kitchen"]["options"] = options
    Path("params.yaml").write_text(json.dumps(params))
    stages.settings.main("kitchen")
    with pytest.raises(UserError, match=said):
        stages.prepare.main("kitchen")
