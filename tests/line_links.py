"""Links of docs/cm-arr.md to the lines of a function or class: [`Name`](../cmarr/file.py#L10-L20).

python -m tests.line_links     set their line numbers anew, after the code has moved (`make format` does)
"""

import ast
import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/cm-arr.md"
LINK = re.compile(r"\[`([\w.]+)`\]\((\.\./cmarr/[\w/]+\.py)(#[\w-]*)?\)")


@cache
def defined(path: Path) -> dict[str, tuple[int, int]]:
    """First and last line of the functions and classes of a file, methods as Class.method."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        below = node.body if isinstance(node, ast.ClassDef) else []
        for inner, name in [(node, "{}"), *((sub, f"{getattr(node, 'name', '')}.{{}}") for sub in below)]:
            if isinstance(inner, ast.FunctionDef | ast.ClassDef):
                found[name.format(inner.name)] = inner.lineno, inner.end_lineno or inner.lineno
    return found


def with_lines(text: str) -> str:
    """The page with the lines that its links should lead to; a name that is not defined there leads to none."""

    def renewed(link: re.Match[str]) -> str:
        name, target, _ = link.groups()
        first, last = defined((PAGE.parent / target).resolve()).get(name, (0, 0))
        return f"[`{name}`]({target}#L{first}-L{last})"

    return LINK.sub(renewed, text)


if __name__ == "__main__":
    PAGE.write_text(with_lines(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
