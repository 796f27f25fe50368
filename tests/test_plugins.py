"""Plugins that cannot be used: each is refused with a sentence that names its file, never with a traceback."""

import re
import sys

import pytest

from cmarr import plugins
from cmarr.code_digest import code_digest
from cmarr.encoders.registry import encoder_class
from cmarr.errors import UserError
from cmarr.settings.declared import method_section
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from tests.outside import run, write_params

SETTINGS = """
from typing import Any
from cmarr.declaration import Count, Flag, Section, setting
"""
METHOD = (
    SETTINGS
    + """
class Own:
    class Settings(Section):
        KEYS
    def training_losses(self, batch, targets): ...
    def predict(self, batch): ...
    MORE
METHOD = Own
"""
)
ENCODER = (
    SETTINGS
    + """
class Own:
    class Settings(Section):
        KEYS
    modality = "t"
    def describe(self): ...
    def encode(self, utterances): ...
ENCODER = Own
"""
)


def method(keys: str = "pass", more: str = "pass") -> str:
    return METHOD.replace("KEYS", keys).replace("MORE", more)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A function that writes a plugin into a folder beside the project, and makes it known."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def use(text: str | bytes, name: str = "own_plugin.py") -> str:
        path = tmp_path / "my plugins é" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        plugins.use([f"my plugins é/{name}"], tmp_path)
        return path.stem

    yield use
    method_section.cache_clear()
    for module in set(sys.modules) - before:
        if module.startswith(("own_", "broken_", "report", "sensitivity", "split")):
            del sys.modules[module]


def test_a_folder_may_have_blanks_and_other_letters(plugin):
    assert method_section(plugin(method("width: Count = setting(3, 'of it')")))().width == 3


@pytest.mark.parametrize(("text", "key"), [(METHOD, "method"), (ENCODER, "encoders")])
def test_a_setting_without_a_default_must_be_given(plugin, tmp_path, text, key):
    plugin(text.replace("KEYS", "width: Count").replace("MORE", "pass"))
    write_params(tmp_path, plugins=["my plugins é/own_plugin.py"])
    with pytest.raises(UserError, match=f"params.yaml: the key '{key}.own_plugin' is missing"):
        load_settings(tmp_path / "params.yaml", tmp_path / "presets")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("METHOD = (", "own_plugin.py cannot be imported .SyntaxError"),
        ("import no_such_thing\nMETHOD = 1\n", "own_plugin.py cannot be imported .ModuleNotFoundError"),
        ("# é\nMETHOD = 1\n".encode("latin-1"), "own_plugin.py cannot be read .*in UTF-8"),
        ('TEXT = """\nMETHOD = Own\n"""\n', "own_plugin.py assigns no METHOD when it is imported"),
        ("METHOD = 3\n", "own_plugin.py assigns 3 to METHOD; assign the class"),
        ("class Own: ...\nMETHOD = Own\n", r"own_plugin.py has no `class Settings\(Section\)` in Own"),
        (method(more="training_losses = None"), "own_plugin.py has no function training_losses in Own"),
        (method(more="first_stage = object"), r"own_plugin.py has no `class Settings\(Section\)` in object"),
        (method("train: Count = 3"), "own_plugin.py: Own.Settings.train: a method has a key of this name"),
        (method("width: Count = 'x'"), "Own.Settings: the defaults do not fit: width: Input should be"),
        (method("width: Any = {3}"), "Own.Settings: .*set is not JSON"),
        (method(more="objective = ('mu',)"), "Own.Settings: objective names 'mu', which is not declared"),
        (
            method("seeds: Count = 3", "objective = ('seeds',)"),
            "Own.Settings.seeds: params.yaml has a key of this name",
        ),
        (ENCODER.replace("KEYS", "pass").replace("'t'", "'text'").replace('"t"', '"text"'), "has no modality in Own"),
        (ENCODER.replace("KEYS", "pass").replace("describe", "told"), "has no function describe in Own"),
    ],
)  # fmt: skip
def test_what_lacks_something_is_told_what(plugin, text, said):
    with pytest.raises(UserError, match=said):
        name = plugin(text)
        encoder_class(name) if "ENCODER" in str(text) else method_section(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("masked.py", "there is a method 'masked' already .*; give it another name"),
        ("own-plugin.py", "'own-plugin' names files and stages; use letters, digits and '_'"),
        ("text.py", "'text' cannot name a section of params.yaml; give it another name"),
        ("copy.py", "'copy' cannot name a section of params.yaml; give it another name"),
        ("_own.py", "'_own' cannot name a section of params.yaml"),
        ("random.py", "another module is called random .*; give the file another name"),
    ],
)
def test_a_name_that_is_taken_is_refused(plugin, name, said):
    with pytest.raises(UserError, match=said):
        method_section(plugin(method(), name))


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("sys", "there is no module 'sys' here"),
        ("", "there is no module '' here"),
        ("..own", "there is no module"),
        ("../folder", "does not exist; give the file"),
        ("../a:b/own.py", "has a ':' in its path"),
        ("_socket", "there is no module|is no Python file"),
        ("broken_package.own", "the package of broken_package.own cannot be imported .ZeroDivisionError"),
    ],
)
def test_what_is_no_plugin_is_refused(monkeypatch, tmp_path, named, said):
    package = tmp_path / "broken_package"
    package.mkdir()
    (package / "__init__.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=said):
        plugins.use([named], tmp_path)


@pytest.mark.parametrize("name", ["report", "sensitivity", "split"])
def test_a_method_cannot_have_the_name_of_a_stage_or_of_what_it_writes(plugin, tmp_path, name):
    plugin(method(), f"{name}.py")
    write_params(tmp_path, plugins=[f"my plugins é/{name}.py"], methods=[name])
    with pytest.raises(UserError, match=f"methods: '{name}' is the name of a stage or a file, too"):
        resolve(load_settings(tmp_path / "params.yaml", tmp_path / "presets"))


def test_a_reader_without_read_is_refused(plugin):
    plugin('READER = "own_kind"\n', "own_reader.py")
    with pytest.raises(UserError, match=r"own_reader.py has no function read\(root\)"):
        plugins.module_of(plugins.READERS, "own_kind")


def test_a_file_that_is_not_python_has_no_digest(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("READER = (\n")
    with pytest.raises(UserError, match=r"own.py: is not Python .*line 1.*; mend it"):
        code_digest(path)


def test_the_stage_settings_says_what_has_happened_to_a_plugin_since_it_last_ran(tmp_path):
    project, plugin = tmp_path / "project", tmp_path / "own_reader.py"
    project.mkdir()
    plugin.write_text('READER = "own_kind"\n\n\ndef read(root): ...\n')
    write_params(project, plugins=["../own_reader.py"])
    settings = ("-m", "stages.settings", "demo")
    run(*settings, cwd=project)
    plugin.write_text('READER = "own_kind"\n\n\ndef read(root):\n')
    said = run(*settings, cwd=project, fails=True)
    assert re.fullmatch(r"settings: .*own_reader.py: is not Python .*; mend it\n", said)
    plugin.unlink()
    said = run(*settings, cwd=project, fails=True)
    assert re.fullmatch(r"settings: plugins: .*own_reader.py does not exist; .*\n", said)
