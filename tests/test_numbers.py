"""No number without a source: what README and docs quote is written from a kept result, or stands in a file they name.

A decimal or a percentage of a page, outside code and links, stands either

- between `<!-- shown: ... -->` and `<!-- end -->`, where `benchmarks.studies.pages` writes what results/ and
  benchmarks/results/ hold, and `denseface.card` what the shipped weights' own file does; or
- below `<!-- numbers: FILE ... -->`, up to the next heading or such line, if one of the files has the same number: the
  code that has a setting, results/quoted.yaml for what a paper has printed.
"""

import json
import re

import pytest

from benchmarks.studies import store
from benchmarks.studies.pages import BLOCK, KINDS, PAGES, unused, written
from benchmarks.studies.plan import ROOT, planned
from denseface.card import BEGIN, END

GENERATED = {"settings.md"}
"""Written whole, by tests/manual.py."""

SOURCE = re.compile(r"<!-- numbers: (?P<files>[^>]+?) -->")
NUMBER = re.compile(r"(?<![\w.,/-])\d+\.\d+(?![\w.]*\d)(?: ?%)?|(?<![\w.,-])\d+ ?%")
NAMES = re.compile(
    r"95 %|"
    r"(?:[Ss]ections?|arXiv|Python|wav2vec|CC BY-NC-SA|torch|commit|Figure) \d[\d.]*(?:(?:, | and | or | to )\d+\.\d+)*"
)
"""The level of every interval; and what looks like a number and is a name."""


def without(text: str) -> str:
    """The text without code, links' targets and what is written from results."""
    text = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), "", BLOCK.sub("", text), flags=re.DOTALL)
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return NAMES.sub("", re.sub(r"\]\([^)]*\)", "]", text))


def unsupported(text: str) -> list[str]:
    """The numbers of a page that no named file has."""
    wrong: list[str] = []
    sources: list[str] = []
    for line in without(text).splitlines():
        if line.startswith("#"):
            sources = []
            continue
        if found := SOURCE.search(line):
            sources = [(ROOT / name).read_text(encoding="utf-8") for name in found["files"].split()]
            continue
        wrong += [f"{n} in: {line[:80]}" for n in NUMBER.findall(line) if not any(has(s, n) for s in sources)]
    return wrong


def has(source: str, number: str) -> bool:
    """Whether a file has the number, as it stands or, of a percentage, as a fraction."""
    value = number.rstrip(" %")
    forms = {value, value.rstrip("0").rstrip(".") if "." in value else value}
    if "%" in number:
        forms.add(f"{float(value) / 100:g}")
    return any(re.search(rf"(?<![\d.]){re.escape(form)}(?![\d]|\.\d)", source) for form in forms)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in GENERATED], ids=lambda p: p.name)
def test_every_number_of_a_page_has_a_source(page):
    assert not unsupported(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("UAR is 71.3 %.", 1),
        ("| 57.47 ± 8.67 |", 2),
        ("<!-- shown: scores demo UAR -->\n| 57.47 |\n<!-- end -->\n", 0),
        ("`lr: 0.5`, [a](0.5), section 4.1, 95 % intervals, Python 3.11 or 3.12", 0),
        ("<!-- numbers: presets/demo.yaml -->\nat 5.0 faces, not 6.1\n", 1),
        ("<!-- numbers: presets/demo.yaml -->\nat 5.0 faces\n\n## Next\n5.0\n", 1),
    ],
)
def test_a_number_without_one_is_found(text, wrong):
    assert len(unsupported(text)) == wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_shows_is_what_was_kept(page):
    """Written by `make format`."""
    text = page.read_text(encoding="utf-8")
    assert written(text, page) == text
    assert len(BLOCK.findall(text)) == text.count("<!-- shown: "), "a block lacks its <!-- end -->"


def test_every_result_belongs_to_a_study_and_every_kind_is_used():
    assert not unused()
    used = {
        found["order"].split()[0] for p in PAGES for found in BLOCK.finditer(p.read_text(encoding="utf-8"))
    }
    assert used == set(KINDS)


@pytest.mark.parametrize("name", [name for name in planned() if store.place(name).is_file()])
def test_a_kept_study_says_how_it_was_had(name):
    found = store.stored(name)
    assert found is not None
    told = found.content
    assert {"command", "set", "commit", "date", "machine", "made_of", "costs"} <= set(told)
    assert not str(told["commit"]).endswith("+"), "run at a commit, not at a changed working tree"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told["date"])
    assert store.text(told) == store.place(name).read_text(encoding="utf-8")
    assert len(json.dumps(told)) < 2_500_000, "small enough for git"
