"""What `import cmarr` offers, and that it offers it fast and everywhere."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import cmarr

ROOT = Path(__file__).parents[2]


def test_the_public_names_are_listed_once_there_and_explained():
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `cmarr\.(\w+)", page, re.MULTILINE)
    assert sorted(listed) == sorted(name for name in cmarr.__all__ if name != "__version__")
    for name in cmarr.__all__:
        assert getattr(cmarr, name)
        assert not (ROOT / "cmarr" / name).exists(), f"importing cmarr.{name} would take the name away"
        assert name == "__version__" or getattr(cmarr, name).__doc__, name


def test_a_type_checker_sees_the_same_names():
    text = (ROOT / "cmarr/__init__.py").read_text(encoding="utf-8")
    seen = set(re.findall(r"^    from cmarr\.[\w.]+ import (\w+) as \1$", text, re.MULTILINE))
    assert seen == {name for name in cmarr.__all__ if name != "__version__"}


def test_importing_the_package_loads_no_large_library():
    code = "import sys, cmarr; print(sorted({'torch', 'pandas', 'numpy', 'pydantic', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_defaults_are_the_projects():
    from cmarr.study.settings import PARAMS, PRESETS

    assert PARAMS.read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert {path.name for path in PRESETS.glob("*.yaml")} == {
        path.name for path in (ROOT / "presets").glob("*.yaml")
    }
    assert set(cmarr.preset_names()) >= {"demo", "frozen", "paper"}


def test_the_examples_show_what_comes_out():
    """One after the other: each goes on with what the one before it has made."""
    made = {
        "Corpus": cmarr.Corpus,
        "train": cmarr.train,
        "evaluate": cmarr.evaluate,
        "compare": cmarr.compare,
    }
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for thing in (
        cmarr.Corpus.from_arrays,
        cmarr.train,
        cmarr.evaluate,
        cmarr.compare,
        cmarr.method_names,
        cmarr.preset_names,
    ):
        made[thing.__name__] = thing
        for example in doctest.DocTestFinder(recurse=False).find(thing, thing.__name__, globs=made):
            example.globs = made
            assert example.examples, thing
            runner.run(example, clear_globs=False)
    assert runner.summarize().attempted >= 13 and not runner.summarize().failed
