"""What `import cmarr` offers, and that it offers it fast and everywhere."""

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
    assert set(cmarr.presets()) >= {"demo", "frozen", "paper"}
