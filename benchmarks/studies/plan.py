"""results/studies.yaml: which studies the tables of README and docs are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.errors import UserError, did_you_mean
from cmarr.settings.load import read_yaml

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
PLAN = "results/studies.yaml"


@dataclass(frozen=True)
class Planned:
    """One study.

    set:    keys of params.yaml (`train.lr` for one of a section) that differ from its defaults
    tables: names of the report's tables that are kept as the run wrote them
    grid:   whether the points of the section `sensitivity` are run as well
    """

    name: str
    set: Mapping[str, Any]
    tables: tuple[str, ...] = ()
    grid: bool = False

    @property
    def dataset(self) -> str:
        """What it is a study of."""
        return str(self.set.get("dataset", "demo"))

    @property
    def command(self) -> str:
        """What a user types for the same study."""
        changes = " ".join(f"-S '{key}={_typed(value)}'" for key, value in self.set.items())
        return f"dvc exp run {changes}"


def planned(folder: Path = ROOT) -> dict[str, Planned]:
    """Name -> study, in the order in which they are run."""
    return {
        name: Planned(name, entry["set"], tuple(entry.get("tables", ())), bool(entry.get("grid")))
        for name, entry in read_yaml(folder / PLAN).items()
    }


def study(name: str, folder: Path = ROOT) -> Planned:
    """The study of a name. Raises UserError where the plan has none."""
    known = planned(folder)
    if name not in known:
        raise UserError(f"{PLAN} has no study {name!r}, only {', '.join(known)}{did_you_mean(name, known)}")
    return known[name]


def _typed(value: Any) -> str:
    return f"[{','.join(map(_typed, value))}]" if isinstance(value, list) else str(value)
