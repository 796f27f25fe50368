"""What may know what: the library knows neither DVC nor a command line, a stage lists the code it uses."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cmarr.methods.registry import METHODS
from tests.line_links import LINK, PAGE, with_lines

ROOT = Path(__file__).parents[1]
AROUND = ("__init__", "stage", "paths", "resume", "setup", "summary", "sensitivity", "experiment")
"""Files of stages/ that are no stage: what stages share, and what the Makefile and `cmarr compare` run."""

NO_OUTPUT = {
    *(
        ROOT / "cmarr" / f"{name}.py"
        for name in ("errors", "declaration", "plugins", "progress", "code", "device", "compilation")
    ),
    *(ROOT / "cmarr/execution").iterdir(),
}
"""Modules of the library that decide no byte of any output."""


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of all modules that a file names in an import statement, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def files(module: str) -> list[Path]:
    """The files that importing `module` runs: its own and its packages' __init__."""
    parts = module.split(".")
    found = [ROOT.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return [p for p in [*found, ROOT.joinpath(*parts).with_suffix(".py")] if p.is_file()]


def closure(path: Path) -> set[Path]:
    """All files of this repository that `path` imports, directly or not."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for name in imports(current):
            if name.split(".")[0] in ("cmarr", "stages"):
                waiting += files(name)
    return seen


LIBRARY = sorted((ROOT / "cmarr").rglob("*.py"))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_library_knows_neither_dvc_nor_a_command_line(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert "dvc" not in roots
    assert "stages" not in roots
    if path != ROOT / "cmarr/cli.py":
        assert not roots & {"typer", "click", "argparse"}


def dvc_stages() -> dict[str, tuple[str, set[Path]]]:
    """Stage name -> its script and the paths it lists as dependencies (of a `foreach`, the first item)."""
    pipeline = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")
    found = {}
    for name, stage in pipeline["stages"].items():
        body = stage.get("do", stage)
        script = body["cmd"].split()[2].split(".")[1]
        found[name] = (script, {ROOT / d for d in body["deps"] if not d.startswith(("data/", "metrics/"))})
    return found


@pytest.mark.parametrize("name", dvc_stages())
def test_a_stage_lists_the_code_it_uses(name):
    script, listed = dvc_stages()[name]
    used = closure(ROOT / "stages" / f"{script}.py")
    free = {ROOT / "stages" / f"{n}.py" for n in AROUND} | NO_OUTPUT
    used = {p for p in used - free if p.name != "__init__.py"}
    unlisted = sorted(str(p.relative_to(ROOT)) for p in used if not {p, *p.parents} & listed)
    assert not unlisted, f"dvc.yaml: stage {name} uses {', '.join(unlisted)} without listing it under deps"


@pytest.mark.parametrize("name", ["pretrain", "train", "evaluate"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_stage_lists_the_code_of_the_method_it_imports_late(name, method):
    listed = {Path(str(p).replace("${item}", method)) for p in dvc_stages()[name][1]}
    used = {p for p in closure(ROOT / f"cmarr/methods/{method}.py") - NO_OUTPUT if p.name != "__init__.py"}
    assert not {str(p) for p in used if not {p, *p.parents} & listed}


def test_every_listed_dependency_exists():
    for name, (_, listed) in dvc_stages().items():
        missing = [str(p.relative_to(ROOT)) for p in listed if "${" not in str(p) and not p.exists()]
        assert not missing, f"dvc.yaml: stage {name} lists {missing}"


def test_every_script_is_a_stage():
    scripts = {p.stem for p in (ROOT / "stages").glob("*.py")} - {*AROUND, "mirrored", "pages"}
    assert scripts == {script for script, _ in dvc_stages().values()}


def test_methods_are_imported_only_when_they_run():
    used = closure(ROOT / "stages/train.py")
    assert not [p for p in used if p.parent.name == "methods" and p.stem in METHODS]


def test_a_report_does_not_wait_for_torch():
    """Importing it takes longer than most tables, in every run of the pipeline."""
    modules = "stages.report, stages.track, stages.mirrored, cmarr.report.confusion"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_packages_hold_nothing_but_their_description():
    for path in LIBRARY:
        if path.name == "__init__.py" and path.parent != ROOT / "cmarr":
            body = ast.parse(path.read_text()).body
            assert len(body) == 1, f"{path}: a stage cannot list what hides in a package's __init__"


def test_the_page_that_walks_the_equations_names_the_lines_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    moved = [
        f"{old[0]} -> {new[0]}"
        for old, new in zip(LINK.finditer(text), LINK.finditer(with_lines(text)), strict=True)
        if old[0] != new[0]
    ]
    assert not moved, "the code has moved: `make format` (python -m tests.line_links) sets the lines anew"
