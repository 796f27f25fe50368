"""docs/add-an-encoder.md, followed: the encoder encodes, and its settings are checked."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from cmarr import plugins
from cmarr.encoders import registry
from cmarr.encoders.protocol import Encoder, is_absence
from cmarr.settings import schema
from cmarr.utterance import Rejected, Utterance

sys.path.append(str(Path(__file__).parents[1]))
from documented import blocks

PAGE = "add-an-encoder.md"


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """The encoder of the page, registered, and the section of its settings."""
    module, line, section = blocks(PAGE, "python")
    (tmp_path / "letters.py").write_text(module + line)
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path / "letters.py"))
    monkeypatch.syspath_prepend(tmp_path)
    key, name = "letters", "Letters"
    names = dict(vars(schema))
    exec(section, names)
    return key, names[name]


def test_the_encoder_of_the_page_encodes(letters):
    key, section = letters
    ((name, given),) = YAML(typ="safe", pure=True).load(blocks(PAGE, "yaml")[0]).items()
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
