"""What may know what: the library knows neither DVC nor a command line, a stage names data alone."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cmarr.code_digest import closure, imports
from cmarr.plugins import METHODS, own_names
from tests.line_links import LINK, PAGE, with_lines

ROOT = Path(__file__).parents[1]
AROUND = (
    "__init__",
    "stage",
    "paths",
    "resume",
    "setup",
    "summary",
    "sensitivity",
    "experiment",
    "makes",
    "warm",
)
"""Files of stages/ that are no stage: what stages share, and what the Makefile and `cmarr compare` run."""


def imported(path: Path) -> set[str]:
    """The packages that a file names in an import statement, wherever it stands."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


LIBRARY = sorted((ROOT / "cmarr").rglob("*.py"))


def test_the_library_knows_neither_dvc_nor_a_command_line():
    knowing = {
        path: imported(path) & {"dvc", "stages", "denseface", "typer", "click", "argparse"}
        for path in LIBRARY
    }
    assert {str(p.relative_to(ROOT)): names for p, names in knowing.items() if names} == {
        "cmarr/cli.py": {"typer"}
    }


def test_the_library_names_no_command_of_dvc():
    """It raises NotComputed; the stages and the command line say what computes it."""
    naming = {p for p in LIBRARY if re.search(r"\bdvc [a-z]", p.read_text(encoding="utf-8"))}
    assert naming == {ROOT / "cmarr/cli.py"}


FLOORS = [
    *(
        "bottom",
        "execution",
        "media",
        "encoders",
        "corpora",
        "features",
        "folds",
        "masks",
        "damage",
        "data",
        "layers",
    ),
    *(
        "losses",
        "methods",
        "training",
        "evaluation",
        "settings",
        "report",
        "analyses",
        "recognition",
        "study",
        "tracking",
    ),
    *("serving", "doctor", "cli"),
]
"""Folders of cmarr/, the lowest first. The files directly in it are the bottom, but for the command line."""


def floor(module: str) -> int:
    _, part, *rest = module.split(".")
    return FLOORS.index(part if rest or part == "cli" else "bottom")


MODULES = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in LIBRARY if p.stem != "__init__"]


def test_a_module_imports_from_its_own_floor_and_those_below():
    upward = {m: sorted(n for n in imports(m) if floor(n) > floor(m)) for m in MODULES}
    assert not {module: names for module, names in upward.items() if names}


def test_no_two_modules_need_each_other():
    """In no folder, not by a detour, and not in a function either."""
    graph = {m: imports(m) for m in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_function_is_longer_than_a_page():
    found = set()
    for path in [*LIBRARY, *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                long = (node.end_lineno or 0) - node.lineno + 1 > 60
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found |= {f"{module}.{node.name}"} if long else set()
    assert not found


def pipeline() -> dict[str, dict]:
    """The stages of dvc.yaml; of a `foreach`, what is done for each item."""
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def script(stage: dict) -> str:
    return stage["cmd"].split()[2].split(".")[1]


def test_a_stage_depends_on_data_and_on_its_own_settings_alone():
    for name, stage in pipeline().items():
        deps = stage.get("deps", [])
        assert all(dep.startswith(("data/", "metrics/")) for dep in deps), name
        own = [dep for dep in deps if dep.startswith("data/${dataset}/settings")]
        items = ["data/${dataset}/settings/" + script(stage) + end for end in (".json", "/${item}.json")]
        assert name in ("settings", "track") or (len(own) == 1 and own[0] in items), name


def test_every_script_is_a_stage():
    scripts = {p.stem for p in (ROOT / "stages").glob("*.py")} - {*AROUND, "mirrored", "models"}
    assert scripts == {script(stage) for stage in pipeline().values()}


def test_methods_are_imported_only_when_they_run():
    assert not {f"cmarr.methods.{name}" for name in own_names(METHODS)} & set(closure("stages.train"))


def test_neither_a_report_nor_settings_wait_for_torch():
    """Importing it takes longer than most tables, in every run of the pipeline."""
    modules = "stages.report, stages.track, stages.mirrored, cmarr.analyses.confusion, cmarr.settings.resolve"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_page_that_walks_the_equations_names_the_lines_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    moved = [
        f"{old[0]} -> {new[0]}"
        for old, new in zip(LINK.finditer(text), LINK.finditer(with_lines(text)), strict=True)
        if old[0] != new[0]
    ]
    assert not moved, "the code has moved: `make format` (python -m tests.line_links) sets the lines anew"
