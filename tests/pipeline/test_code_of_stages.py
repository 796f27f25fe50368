"""What an edit of the code makes stale, through the real dvc.yaml; and that a stage depends on all code it uses."""

import json
import re
import shutil

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


@pytest.fixture(scope="module")
def depends(project) -> dict[str, set[str]]:
    """Each stage's modules, and the files that these are and read."""
    found = {}
    for name, work in works(resolve(load_settings(project.root / "params.yaml", ROOT / "presets"))).items():
        modules = closure(f"stages.{work.stage}", *work.late, idle=work.idle)
        files = {file for path in modules.values() for file in (path, *beside(path))}
        found[name] = {*modules, *(str(file.relative_to(ROOT)) for file in files)}
    return found


def test_no_stage_uses_code_or_files_that_it_does_not_depend_on(project, depends):
    """Late imports, plugins by name and processes that a stage starts are among what was noted."""
    used: dict[str, set[str]] = {}
    for path in (project.root / NOTED).iterdir():
        name = path.name.rpartition(".")[0].replace("@", "/")
        used.setdefault(name, set()).update(path.read_text().splitlines())
    assert set(used) == {*depends, "settings", "track"}
    missed = {
        name: {n for n in used[name] - own if "/" in n or is_module(n)} for name, own in depends.items()
    }
    assert not {name: code for name, code in missed.items() if code}
    assert {"cmarr.training.job", "cmarr.methods.cmarr"} <= used["train/cmarr"], "nothing was noted"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("cmarr/methods/linear.py", {"train/linear", "evaluate/linear"}),
        ("cmarr/layers/flow.py", {"train/cmarr", "evaluate/cmarr"}),
        ("cmarr/encoders/hashing.py", {"corpus", "extract/text"}),
        ("cmarr/corpora/demo/reader.py", {"corpus", "prepare"}),
        ("cmarr/encoders/wav2vec2.py", set()),
        ("cmarr/folds/split.py", {"split"}),
        ("cmarr/training/loop.py", {"train/cmarr", "train/linear"}),
    ],
)
def test_those_stages_depend_on_a_file_that_import_it(depends, file, expected):
    assert {name for name, own in depends.items() if file in own} == expected


def test_the_graph_in_the_docs_is_that_of_the_pipeline(project):
    page = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    command = re.search(r"`dvc (dag [^`]+)`", page)[1].split()
    assert project.dvc(*command).strip() in page


def stale(study: Project) -> set[str]:
    """The stages whose dependencies have changed, once `settings` has run; it and `track` always run."""
    study.run("python", "-m", "stages.settings", "demo")
    told = json.loads(study.dvc("status", "--json").splitlines()[-1])
    return set(told) - {"settings", "track"}


def test_an_edit_makes_stale_what_runs_it_and_can_be_accepted_and_prose_makes_nothing_stale(
    project, tmp_path
):
    study = copy_of(project, tmp_path / "study")
    replace(study.root / "cmarr/layers/flow.py", {'"""': '"""About flows. '})
    replace(
        study.root / "cmarr/files.py", {"import contextlib\n": "# Nothing of it is new.\nimport contextlib\n"}
    )
    for folder in ("methods", "encoders", "corpora"):
        shutil.copy(study.root / "cmarr/code_digest.py", study.root / "cmarr" / folder / "mine.py")
    assert stale(study) == set()
    with (study.root / "cmarr/methods/linear.py").open("a") as edited:
        edited.write("\n\nEDITED = True\n")
    assert stale(study) == {"train@linear", "evaluate@linear"}
    study.dvc("commit", "-f", "-q")
    assert stale(study) == set()
