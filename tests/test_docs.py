"""The pages under docs/ that walk through a paper: what they link to exists, and the keys they name do, too."""

import ast
import re
from pathlib import Path

import pytest

from cmarr.settings.load import read_yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/cm-arr.md"
PAGES = {"cmarr": PAGE, "mcur": ROOT / "docs/mcur.md"}
LINK = re.compile(r"\[`([\w.]+)`\]\((\.\./cmarr/[\w/]+\.py)\)")
LINKS = {link for page in PAGES.values() for link in LINK.findall(page.read_text(encoding="utf-8"))}


def defined(path: Path) -> set[str]:
    """Names of the functions and classes of a file, methods as Class.method."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{sub.name}" for sub in node.body if isinstance(sub, ast.FunctionDef)}
    return found


@pytest.mark.parametrize(("symbol", "target"), sorted(LINKS))
def test_a_link_leads_to_what_it_names(symbol, target):
    path = (PAGE.parent / target).resolve()
    assert path.is_file()
    assert symbol in defined(path)


def test_every_equation_is_linked():
    text = PAGE.read_text(encoding="utf-8")
    parts = [part for part in re.split(r"\n\n", text) if LINKS and "](../cmarr" in part]
    walked = set()
    for part in parts:
        for first, last in re.findall(r"Eq (\d+)(?:-(\d+))?", part):
            walked |= set(range(int(first), int(last or first) + 1))
    assert walked == set(range(1, 15))


@pytest.mark.parametrize("method", PAGES)
def test_every_key_in_the_tables_exists_and_every_switch_is_in_them(method):
    params = read_yaml(ROOT / "params.yaml")
    text = PAGES[method].read_text(encoding="utf-8")
    # the last cell of the tables of choices; the table of the paper's words has two cells
    rows = [line.split("|")[-2] for line in text.splitlines() if re.match(r"\|( [^|]* \|){3}$", line)]
    named = {key for row in rows for key in re.findall(r"`([\w.]+)`", row)}
    own = set(params["method"][method])
    assert {key for key in named if "." not in key} <= own
    for section, key in (name.split(".") for name in named if "." in name):
        assert key in params[section], f"{section}.{key}"
    assert own - named - {"train", "heads", "dropout", "gradient_shares"} == set()


def test_the_presets_it_names_exist():
    names = set(re.findall(r"`(paper[\w.-]*)`", PAGE.read_text(encoding="utf-8")))
    assert names
    assert not [name for name in names if not (ROOT / "presets" / f"{name}.yaml").is_file()]
