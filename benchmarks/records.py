"""What benchmarks share: their command line, where their results are kept, the tables that are printed of them."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmarr.files import write_text

RESULTS = Path(__file__).parent / "results"


def command_line(about: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring as it stands."""
    return argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)


def keep(name: str, found: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Write what was found, and on what machine, as JSON."""
    write_text(folder / f"{name}.json", json.dumps(found, indent=2) + "\n")


def kept(name: str, folder: Path = RESULTS) -> Any:
    """What `keep` wrote."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))
