"""The commands of README and docs, for the tests that run or parse them."""

import re
import shlex
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
