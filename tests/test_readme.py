"""README and docs: what they tell a user to type exists, what they show is there."""

import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from documented import PAGES, ROOT, commands

from cmarr.settings.load import read_yaml

TARGETS = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pictures_and_linked_files_exist(page):
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", prose):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_name_targets_and_keys_that_exist(page):
    params = read_yaml(ROOT / "params.yaml")
    for words in commands(page):
        if words[0] == "make":
            assert set(words[1:]) - {w for w in words if "=" in w} <= TARGETS, words
        for word, override in pairwise(words):
            if word == "-S":
                section = params
                for part in override.split("=")[0].split("."):
                    assert part in section, (
                        f"{page.name}: {override} sets a key that params.yaml does not have"
                    )
                    section = section[part]


def test_the_readme_opens_with_an_answer_and_then_with_a_study():
    opening = ["pip install", "cmarr predict", "make demo", "make test"]
    assert [" ".join(words[:2]) for words in commands(PAGES[0])[:4]] == opening
