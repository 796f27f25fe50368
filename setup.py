"""The description of the package: README.md without links that only work beside the other files of the project."""

import re
from pathlib import Path

from setuptools import setup

BROWSED = ""
"""Where the project's files can be looked at, such as https://example.org/cmarr/blob/main/; empty: they are named."""

RELATIVE = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\((?!https?://|#)([^)\s]+)\)")


def description(text: str, browsed: str = BROWSED) -> str:
    """Relative links and pictures of a Markdown text made absolute, or, where that cannot be, plain words."""
    if browsed:
        return RELATIVE.sub(rf"\1[\2]({browsed}\3)", text)
    return RELATIVE.sub(lambda link: "" if link[1] else link[2], text)


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(long_description=description(readme), long_description_content_type="text/markdown")
