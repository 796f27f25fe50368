"""Which command makes a file of the project again, read from dvc.yaml; `cmarr verify` asks for it.

python -m stages.makes data/demo/folds.parquet
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cmarr.settings.load import read_yaml

UNFINISHED = ".cmarr"


def command(path: str | Path, project: Path = Path()) -> str | None:
    """The command that makes a file anew even where DVC has not seen that it changed; None for what no stage makes."""
    try:
        place = Path(path).resolve().relative_to(project.resolve()).as_posix()
    except ValueError:
        return None
    if place.startswith(f"{UNFINISHED}/"):
        return f"rm '{place}'"
    params = read_yaml(project / "params.yaml")
    found = max(_makers(place, read_yaml(project / "dvc.yaml")["stages"], params), default=None)
    if found is None:
        return None
    _, dataset, label = found
    if dataset != params["dataset"]:
        return f"dvc exp run -S dataset={dataset} -f -s {label}"
    return f"dvc repro -f -s {label}"


def _makers(
    place: str, stages: Mapping[str, Any], params: Mapping[str, Any]
) -> Iterator[tuple[int, str, str]]:
    """How much of the path the output names, the dataset, and the stage with its item."""
    for name, stage in stages.items():
        items = stage.get("foreach", [])
        if isinstance(items, str):  # ${methods}
            items = params.get(items.strip("${}")) or []
        for out in _outputs(stage.get("do", stage)):
            pattern = re.escape(out).replace(r"\$\{dataset\}", r"(?P<dataset>[^/]+)", 1)
            pattern = pattern.replace(r"\$\{item\}", r"(?P<item>[^/]+?)", 1)
            match = re.fullmatch(f"(?:{pattern})(?:/.*)?", place)
            item = match and match.groupdict().get("item")
            if match and (item is None or item in items):
                dataset = match.groupdict().get("dataset") or params["dataset"]
                yield len(out), dataset, name if item is None else f"{name}@{item}"


def _outputs(stage: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("outs", "metrics", "plots"):
        for out in stage.get(kind, []):
            yield out if isinstance(out, str) else next(iter(out))


if __name__ == "__main__":
    for named in sys.argv[1:]:
        print(command(named) or "")
