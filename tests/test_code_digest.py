"""What a digest of code depends on, and that a closure misses nothing that is imported."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from cmarr.code_digest import ROOT, beside, closure, code_digest
from cmarr.plugins import ENCODERS, METHODS, READERS, own_names, start_of
from tests.warm import python

PLUGIN = '''"""A method."""

from typing import TYPE_CHECKING

from helping import helper
from cmarr.files import digest

if TYPE_CHECKING:
    import unseen


def late():
    """Say nothing."""
    from later import thing  # when it is needed

    return thing


d: int = setting(32, "width of the mean")
METHOD = late
'''


@pytest.fixture
def plugin(tmp_path) -> Path:
    """A file of a user's, beside three that it may import."""
    for name in ("helping", "later", "unseen"):
        (tmp_path / f"{name}.py").write_text(f"helper = thing = '{name}'\n")
    path = tmp_path / "average.py"
    path.write_text(PLUGIN)
    return path


def test_a_closure_holds_what_is_imported_anywhere_but_for_a_type_checker(plugin):
    names = set(closure(plugin))
    assert names >= {"average", "helping", "later", "cmarr", "cmarr.files", "cmarr.errors"}
    assert not names & {"unseen", "typing", "cmarr.task"}
    assert "later" not in closure(plugin, idle=True)


def test_relative_imports_and_packages_are_followed(tmp_path, monkeypatch):
    package = tmp_path / "emotional"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("import json\n")
    (package / "method.py").write_text("from . import parts\nfrom .deep.layer import Layer\n")
    (package / "parts.py").write_text("")
    (package / "deep" / "layer.py").write_text(
        "from ..parts import nothing\nfrom .. import other\nLayer = 0\n"
    )
    (package / "other.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    names = ["", ".deep.layer", ".method", ".other", ".parts"]
    assert sorted(closure("emotional.method")) == [f"emotional{name}" for name in names]


def test_a_module_that_is_not_there_is_refused():
    for name in ("cmarr.methods.nothing", "no_such_package.method"):
        with pytest.raises(ModuleNotFoundError, match=r"no module is called"):
            closure(name)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""A method."""', '"""Another text,\n\nlonger."""', True),
        ('    """Say nothing."""\n', "", True),
        ("  # when it is needed", "  # never", True),
        ("    return thing", "    return (\n        thing\n    )", True),
        ("width of the mean", "how wide the mean is", True),
        ("setting(32", "setting(33", False),
        ("return thing", "return [thing]", False),
        ("METHOD = late", 'METHOD = late\n\nTEXT = "late"', False),
        ("import digest", "import digest as d", False),
    ],
)
def test_prose_and_layout_are_no_code(plugin, old, new, same):
    before = code_digest(plugin)
    assert old in PLUGIN
    plugin.write_text(PLUGIN.replace(old, new))
    assert (code_digest(plugin) == before) is same


def test_an_edit_of_what_is_imported_counts_and_one_of_what_is_not_does_not(plugin):
    before = code_digest(plugin)
    (plugin.parent / "unseen.py").write_text("helper = 'another'\n")
    assert code_digest(plugin) == before
    (plugin.parent / "later.py").write_text("thing = 'another'\n")
    assert code_digest(plugin) != before


def test_the_place_of_the_files_does_not_matter(plugin, tmp_path):
    before = code_digest(plugin)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in tmp_path.glob("*.py"):
        path.rename(moved / path.name)
    assert code_digest(moved / "average.py") == before


def test_a_file_beside_a_module_that_reads_it_counts(tmp_path):
    module, table = tmp_path / "table.py", tmp_path / "words" / "en.txt"
    table.parent.mkdir()
    table.write_text("happy")
    module.write_text('from pathlib import Path\nWORDS = Path(__file__).parent / "words" / "en.txt"\n')
    before = code_digest(module)
    assert beside(module) == [table]
    table.write_text("sad")
    assert code_digest(module) != before


def test_all_that_the_package_brings_along_is_seen_by_the_module_that_reads_it():
    files = {
        p for p in (ROOT / "cmarr").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc", ".typed")
    }
    assert {found for path in (ROOT / "cmarr").rglob("*.py") for found in beside(path)} == files


LATE = {
    **{f"methods/{name}": start_of(METHODS, name) for name in own_names(METHODS)},
    **{f"encoders/{name}": start_of(ENCODERS, name) for name in own_names(ENCODERS)},
    **{f"readers/{name}": start_of(READERS, name) for name in own_names(READERS)},
    **{p.stem: f"stages.{p.stem}" for p in (ROOT / "stages").glob("*.py") if p.stem != "__init__"},
}

IMPORTED = """
import builtins, importlib, json, sys

asked, statement, function = {}, builtins.__import__, importlib.import_module

def note(scope, *names):
    asked.setdefault(scope.get("__name__"), set()).update(names)

def by_statement(name, globals=None, locals=None, fromlist=(), level=0):
    found = statement(name, globals, locals, fromlist, level)
    if globals and not level:
        inside = [f"{name}.{one}" for one in fromlist or () if f"{name}.{one}" in sys.modules]
        note(globals, *(inside or [name]))
    return found

def by_function(name, package=None):
    note(sys._getframe(1).f_globals, name)
    return function(name, package)

builtins.__import__, importlib.import_module = by_statement, by_function
for module in json.loads(sys.argv[1]):
    function(module)
ours = {name for name in sys.modules if name.partition(".")[0] in ("cmarr", "stages")}
print(json.dumps({name: sorted(asked.get(name, set()) & ours) for name in ours}))
"""


def test_nothing_that_an_import_loads_is_missing():
    """Of every stage, method, encoder and reader; what their functions import late the pipeline's tests see."""
    command = [python(), "-c", IMPORTED, json.dumps(list(LATE.values()))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    asked = json.loads(done.stdout.splitlines()[-1])

    def loaded(module: str) -> set[str]:
        """What importing it loads: what it asks for meanwhile, directly or not, and the packages around."""
        found, left = set(), [module]
        while left:
            if (name := left.pop()) and name not in found:
                found.add(name)
                left += [*asked[name], name.rpartition(".")[0]]
        return found

    missed = {module: sorted(loaded(module) - set(closure(module))) for module in LATE.values()}
    assert not {module: names for module, names in missed.items() if names}
    more = {module: sorted(set(closure(module, idle=True)) - loaded(module)) for module in LATE.values()}
    assert not {module: names for module, names in more.items() if names}
    assert {"cmarr.methods.protocol", "cmarr.layers.flow"} <= loaded("cmarr.methods.cmarr"), (
        "nothing was noted"
    )


def test_modules_are_imported_by_a_name_in_the_one_place_that_finds_them():
    """Everywhere else a closure would miss them."""
    places = [p for top in ("cmarr", "stages") for p in (ROOT / top).rglob("*.py")]
    calling = {str(p.relative_to(ROOT)) for p in places if "import_module(" in p.read_text(encoding="utf-8")}
    calling.remove("stages/warm.py")  # no stage: it runs them, and imports what is others'
    assert calling == {"cmarr/__init__.py", "cmarr/plugins.py"}
    asked = {
        alias.name
        for p in places
        for node in ast.walk(ast.parse(p.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "cmarr"
        for alias in node.names
    }
    assert all((ROOT / "cmarr" / f"{name}.py").is_file() for name in asked - {"__version__"}), (
        "what `cmarr.__getattr__` hands out"
    )
