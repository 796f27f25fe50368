"""What this package consists of, so that two processes can tell whether they run the same code."""

from functools import cache
from pathlib import Path

import cmarr
from cmarr.files import digest, file_digest


@cache
def code_digest() -> str:
    """SHA-256 (hex) over the names and bytes of all Python files of the package, as they are on the first call."""
    package = Path(cmarr.__file__).parent
    return digest({str(p.relative_to(package)): file_digest(p) for p in sorted(package.rglob("*.py"))})
