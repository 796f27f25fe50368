"""What an edit of the code makes stale, through the real dvc.yaml; and that a stage depends on all code it uses."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cmarr.code_digest import ROOT, beside, closure
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from stages.settings import works
from tests.pipeline.project import NOTED, Project, copy_of, replace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # the first also waits for the pipeline


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_no_stage_uses_code_or_files_that_it_does_not_depend_on(project):
    """Late imports, plugins by name and processes that a stage starts are among what was noted."""
    depends = works(resolve(load_settings(project.root / "params.yaml", project.root / "presets")))
    used: dict[str, set[str]] = {}
    for path in (project.root / NOTED).iterdir():
        name = path.name.rpartition(".")[0].replace("@", "/")
        used.setdefault(name, set()).update(path.read_text().splitlines())
    assert set(used) == {*depends, "settings", "track"}
    missed = {}
    for name, work in depends.items():
        modules = closure(f"stages.{work.stage}", *work.late, idle=work.idle)
        files = {str(found.relative_to(ROOT)) for path in modules.values() for found in beside(path)}
        missed[name] = {n for n in used[name] - files - set(modules) if "/" in n or is_module(n)}
    assert not {name: code for name, code in missed.items() if code}
    assert {"cmarr.training.job", "cmarr.methods.cmarr"} <= used["train/cmarr"], "nothing was noted"


def test_the_graph_in_the_docs_is_that_of_the_pipeline(project):
    page = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    command = re.search(r"`dvc (dag [^`]+)`", page)[1].split()
    assert project.dvc(*command).strip() in page


@pytest.fixture(scope="module")
def study(project, tmp_path_factory) -> Project:
    return copy_of(project, tmp_path_factory.mktemp("study"))


def stale(study: Project) -> set[str]:
    """The stages whose dependencies have changed, once `settings` has run; it and `track` always run."""
    study.run("python", "-m", "stages.settings", "demo")
    told = json.loads(study.dvc("status", "--json").splitlines()[-1])
    return set(told) - {"settings", "track"}


def written(study: Project) -> dict[str, bytes]:
    """The stages' own settings, as the stage `settings` writes them now, by the names that DVC has for the stages."""
    study.run("python", "-m", "stages.settings", "demo")
    place = study.root / "data/demo/settings"
    return {
        str(path.relative_to(place).with_suffix("")).replace("/", "@"): path.read_bytes()
        for path in place.rglob("*.json")
    }


@pytest.fixture(scope="module")
def unedited(study) -> dict[str, bytes]:
    return written(study)


def edit(path: Path) -> str:
    """Add a line of code; the text before that."""
    text = path.read_text()
    path.write_text(f"{text}\n\nEDITED = True\n")
    return text


def test_prose_and_new_files_make_nothing_stale(study):
    replace(study.root / "cmarr/layers/flow.py", {'"""': '"""About flows. '})
    replace(
        study.root / "cmarr/files.py", {"import contextlib\n": "# Nothing of it is new.\nimport contextlib\n"}
    )
    for folder in ("methods", "encoders", "corpora"):
        shutil.copy(study.root / "cmarr/code_digest.py", study.root / "cmarr" / folder / "mine.py")
    assert stale(study) == set()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("cmarr/methods/linear.py", {"train@linear", "evaluate@linear"}),
        ("cmarr/layers/flow.py", {"train@cmarr", "evaluate@cmarr"}),
        ("cmarr/encoders/hashing.py", {"corpus", "extract@text"}),
        ("cmarr/corpora/demo/reader.py", {"corpus", "prepare"}),
        ("cmarr/encoders/wav2vec2.py", set()),
        ("cmarr/folds/split.py", {"split"}),
        ("cmarr/training/loop.py", {f"train@{method}" for method in ("cmarr", "masked", "linear")}),
    ],
)
def test_an_edit_makes_those_stages_stale_that_import_it(study, unedited, file, expected):
    """DVC compares their settings, as the tests before and after this one show. Taken back, it makes none stale."""
    before = edit(study.root / file)
    try:
        now = written(study)
        assert {name for name, content in unedited.items() if now[name] != content} == expected
    finally:
        (study.root / file).write_text(before)


def test_an_edit_that_changes_no_result_can_be_accepted(study):
    assert stale(study) == set()
    edit(study.root / "cmarr/methods/linear.py")
    assert stale(study)
    study.dvc("commit", "-f", "-q")
    assert stale(study) == set()
