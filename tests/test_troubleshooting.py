"""Every message that docs/troubleshooting.md quotes is one that the code, or the tool that it names, prints."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
FOREIGN = {
    "error: No space left on device": "pip",
    "Could not find ... in config ... use the + prefix": "DVC",
}
"""Messages of other tools."""

HOLE = "\0"


def sentences(path):
    """Every text of a file, with a hole where a value goes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else HOLE for p in node.values)
            yield "".join(str(part) for part in parts)


FIRST = [line.split("|")[1] for line in PAGE.splitlines() if re.match(r"\| .*`", line)]
QUOTED = [message for cell in FIRST for message in re.findall(r"`([^`]+)`", cell) if message != "-"]


@functools.cache
def printed():
    """Every text of the code, and of the Makefile."""
    code = [path for folder in ("cmarr", "stages", "denseface") for path in (ROOT / folder).rglob("*.py")]
    texts = [text for path in code for text in sentences(path)]
    return texts + (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_exists(message):
    if message in FOREIGN:
        return
    pieces = [re.escape(piece.strip()) for piece in message.split("...")]
    pattern = re.compile(".*".join(pieces), re.DOTALL)
    assert any(pattern.search(sentence) for sentence in printed()), (
        "no such message; quote it as the code has it"
    )


def test_there_is_much_to_hold():
    assert len(QUOTED) > 20 and set(FOREIGN) <= set(QUOTED)
