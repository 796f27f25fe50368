"""docs/add-an-encoder.md, followed: the encoder encodes, and its settings are checked."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from cmarr.corpora.manifest import Rejected, Utterance
from cmarr.encoders import registry
from cmarr.encoders.protocol import Encoder, is_absence
from cmarr.settings import schema

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/add-an-encoder.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """The encoder of the page, registered, and the section of its settings."""
    module, line, section = blocks("python")
    path = tmp_path / "letters.py"
    path.write_text(module)
    spec = importlib.util.spec_from_file_location("cmarr.encoders.letters", path)
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, made)
    spec.loader.exec_module(made)
    ((key, name),) = eval(f"{{{line}}}").items()  # a line of a dictionary
    monkeypatch.setitem(registry.ENCODERS, key, name)
    names = dict(vars(schema))
    exec(section, names)
    return key, names[name]


def test_the_encoder_of_the_page_encodes(letters):
    key, section = letters
    ((name, given),) = YAML(typ="safe", pure=True).load(blocks("yaml")[0]).items()
    assert name == key
    settings = section(**given).model_dump()
    encoder = registry.build_encoder(key, **settings)
    assert isinstance(encoder, Encoder) and encoder.describe()["encoder"] == key
    spoken, silent = encoder.encode([Utterance("a", text="Bee bad"), Utterance("b", text=" ")])
    assert spoken.frames.shape == (2, encoder.dim) and spoken.frames[0, 4] == 2
    assert isinstance(silent, Rejected) and is_absence(silent)


def test_the_section_of_the_page_has_bounds(letters):
    with pytest.raises(ValidationError):
        letters[1](count=27)
