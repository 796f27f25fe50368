"""The stage `settings` by itself: what its files depend on, and that it does not resolve twice what is the same."""

import shutil
import sys
from pathlib import Path

import pytest

import stages.settings
from cmarr import code_digest, plugins
from tests.pipeline.project import ROOT, replace


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A project whose one method is a plugin outside it, `mine`: a copy of linear.py."""
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "params.yaml", project)
    shutil.copytree(ROOT / "presets", project / "presets")
    shutil.copy(ROOT / "cmarr/methods/linear.py", tmp_path / "mine.py")
    changes = {
        "\nplugins: []": "\nplugins: [../mine.py]",
        "\n- cmarr\n- masked\n- linear\n- gaussian\n- anchored\n": "\n- mine\n- masked\n",
    }
    replace(project / "params.yaml", changes)
    monkeypatch.chdir(project)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield project
    sys.modules.pop("mine", None)
    plugins.use([])


def written(project: Path) -> dict[str, bytes]:
    """What the stage leaves, by name; as DVC does, what it left before is removed first."""
    shutil.rmtree(project / "data", ignore_errors=True)
    stages.settings.main("demo")
    place = project / "data/demo/settings"
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*.json")}


def test_an_edit_of_a_plugin_changes_the_files_of_its_own_stages(folder):
    before = written(folder)
    plugin = folder.parent / "mine.py"
    plugin.write_text(f"# A comment.\n{plugin.read_text()}")
    assert written(folder) == before
    plugin.write_text(f"{plugin.read_text()}\nEDITED = True\n")
    after = written(folder)
    changed = {name for name, content in after.items() if content != before[name]}
    assert changed == {"train/mine.json", "evaluate/mine.json"}


def test_what_is_the_same_is_not_resolved_again(folder, monkeypatch):
    before, resolving = written(folder), []
    resolve = stages.settings._resolved
    monkeypatch.setattr(stages.settings, "_resolved", lambda memory: resolving.append(1) or resolve(memory))
    assert written(folder) == before
    assert not resolving
    memory = folder / ".cmarr/settings/demo.json"
    for damage in (b"", memory.read_bytes()[:-100]):
        memory.write_bytes(damage)
        assert written(folder) == before
    replace(folder / "params.yaml", {"\nbeta: auto": "\nbeta: 0.7"})
    written(folder)
    assert len(resolving) == 3


def test_code_that_is_the_same_is_not_read_again(folder, monkeypatch):
    def begin():
        """As a new process."""
        for memory in (code_digest.KNOWN, code_digest.EARLIER):
            memory.clear()
        for memory in (code_digest._said, code_digest._imports):
            memory.cache_clear()

    begin()
    before, reading = written(folder), []
    read = code_digest._read
    monkeypatch.setattr(code_digest, "_read", lambda *given: reading.append(given[1].name) or read(*given))
    begin()
    assert written(folder) == before and not reading
    plugin = folder.parent / "mine.py"
    plugin.write_text(f"{plugin.read_text()}\nEDITED = True\n")
    begin()
    assert written(folder) != before and reading == ["mine.py"]
    kept = folder / ".cmarr/code.json"
    for damage in (b"", kept.read_bytes()[:-100]):
        kept.write_bytes(damage)
        code_digest.EARLIER.clear()
        written(folder)
        assert not code_digest.EARLIER
