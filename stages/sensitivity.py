"""`make sensitivity`: run the grids of Figure 4 as DVC experiments, and collect what they found.

Only points that the collection lacks are queued; an experiment that an interrupted run finished is collected.
"""

import json
import subprocess
import sys
from typing import Any

from cmarr.analyses.sensitivity import read_results, with_result, write_results
from cmarr.errors import UserError
from cmarr.extras import extra
from cmarr.plugins import METHODS, names
from cmarr.settings.declared import objective
from cmarr.settings.grid import Point, curves, studied
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from stages.paths import Paths
from stages.stage import located

with extra("study"):
    import dvc.api
    from dvc.exceptions import DvcException


def main() -> None:
    settings = load_settings("params.yaml", "presets", find=located)
    files, grids = resolve(settings), settings.sensitivity.model_dump(by_alias=True)
    of = studied(files["report"], grids)
    if of is None:
        able = [name for name in names(METHODS) if objective(name).keys() >= grids.keys()]
        raise UserError(f"methods: the parameter study moves {', '.join(grids)}; add {' or '.join(able)}")
    paths = Paths(settings.dataset)
    grid = curves(files, grids, of)
    points = {point.key: point for curve in grid.values() for point in curve}
    table = paths.metrics / "sensitivity.csv"
    results = read_results(table)
    missing = [point for key, point in points.items() if key not in set(results["key"])]
    queued = [point for point in missing if _result(settings.dataset, of.method, point) is None]
    for point in queued:
        overrides = [f"-S={weight}={value}" for weight, value in point.weights.items()]
        _dvc("exp", "run", "--queue", "--name", _name(point), *overrides, f"evaluate@{of.method}")
    print(f"{settings.dataset}: {len(points)} points, {len(queued)} to run", flush=True)
    if queued:
        _dvc("exp", "run", "--run-all", "-j", "1")
    for point in missing:
        summary = _result(settings.dataset, of.method, point)
        if summary is None:
            told = ", ".join(f"{weight} {value:g}" for weight, value in point.weights.items())
            raise UserError(
                f"the experiment {_name(point)} ({told}) did not finish; `dvc queue logs {_name(point)}` tells why, "
                "then run `make sensitivity` again: it goes on from here"
            )
        results = with_result(results, point, summary)
        write_results(table, results)  # after each one: an interrupted run loses nothing
    print(f"{settings.dataset}: {len(missing)} points added to {table}")


def _name(point: Point) -> str:
    return f"sensitivity-{point.key}"


def _result(dataset: str, method: str, point: Point) -> dict[str, Any] | None:
    """The metrics of a finished experiment; None where there is none."""
    try:
        result: dict[str, Any] | None = json.loads(
            dvc.api.read(f"metrics/{dataset}/{method}.json", rev=_name(point))
        )
        return result
    except (DvcException, OSError, ValueError):
        return None


def _dvc(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], check=False)
    if done.returncode:
        raise UserError(f"dvc {' '.join(arguments[:3])} failed; what it says stands above")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"sensitivity: {error}")
