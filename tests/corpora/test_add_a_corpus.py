"""docs/add-a-corpus.md, followed: the reader reads, the line is one of the registry's, the section is valid."""

import sys
from pathlib import Path

import numpy as np
import soundfile
from ruamel.yaml import YAML

from cmarr.corpora import registry
from cmarr.corpora.labels import EMOTIONS
from cmarr.settings.schema import Dataset

sys.path.append(str(Path(__file__).parents[1]))
from documented import blocks, entry, module_of

PAGE = "add-a-corpus.md"


def test_the_corpus_of_the_page_is_read(tmp_path, monkeypatch):
    module, line = blocks(PAGE, "python")
    kind, name = entry(line)
    module_of(module, "cmarr.corpora.kitchen", tmp_path, monkeypatch)
    assert name == "cmarr.corpora.kitchen"
    monkeypatch.setitem(registry.READERS, kind, name)

    root = tmp_path / "corpus"
    root.mkdir()
    for stem in ("ann_happy_07", "bob_sad_01", "holiday"):
        soundfile.write(root / f"{stem}.wav", np.zeros(160), 16_000)
    (root / "ann_happy_07.txt").write_text("pass me the salt")
    utterances, rejected = registry.read_corpus(kind, root, dataset="kitchen")
    assert [(u.id, u.label, u.speaker, u.text) for u in utterances] == [
        ("ann_happy_07", "happy", "ann", "pass me the salt"),
        ("bob_sad_01", "sad", "bob", None),
    ]
    assert [(r.id, r.reason) for r in rejected] == [("holiday.wav", "its name has not three parts")]


def test_the_section_of_the_page_is_valid():
    ((name, section),) = YAML(typ="safe", pure=True).load(blocks(PAGE, "yaml")[0]).items()
    dataset = Dataset(**section)
    assert name == dataset.kind == "kitchen"
    assert set(dataset.classes) <= set(EMOTIONS)
