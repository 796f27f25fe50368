"""The commands and the code of README and docs, for the tests that run or parse them."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def lines(page):
    """The commands of a page's shell blocks, one a line: continued lines and pipes joined, comments kept."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    joined = (re.sub(r"(\\|(?<=\|))\n\s*", " ", block) for block in blocks)
    return [
        line.strip().removeprefix("$ ") for block in joined for line in block.splitlines() if line.strip()
    ]


def commands(page):
    """The same as words, without comments."""
    return [words for line in lines(page) if (words := shlex.split(line, comments=True))]


def blocks(page, language):
    """What a page of docs/ shows in one language, block by block."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def module_of(source, name, folder, monkeypatch):
    """Import the source of a page's file as the module `name`; it is written into `folder`."""
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def entry(line):
    """The key and the value of a page's line of a dictionary."""
    ((key, value),) = eval(f"{{{line}}}").items()
    return key, value
