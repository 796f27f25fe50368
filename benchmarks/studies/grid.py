"""The points of Figure 4 in the copy: `make sensitivity` without DVC's experiments."""

from dataclasses import replace

from benchmarks.studies.copy import Copy
from benchmarks.studies.plan import Planned
from cmarr.analyses.sensitivity import read_results, with_result, write_results
from cmarr.errors import UserError
from cmarr.files import read_json
from cmarr.settings.grid import curves, studied
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve


def run_points(copy: Copy, own: Planned, workers: int | str) -> None:
    """Train and evaluate every point that the collection lacks; params.yaml is the study's again afterwards."""
    settings = load_settings(copy.root / "params.yaml", copy.root / "presets")
    files, grids = resolve(settings), settings.sensitivity.model_dump(by_alias=True)
    of = studied(files["report"], grids)
    if of is None:
        raise UserError(f"{own.name}: no method of the study has the weights {', '.join(grids)}")
    points = {point.key: point for curve in curves(files, grids, of).values() for point in curve}
    table = copy.root / "metrics" / own.dataset / "sensitivity.csv"
    results = read_results(table)
    for point in (point for key, point in points.items() if key not in set(results["key"])):
        print(f"{own.name}: {', '.join(f'{w} {value:g}' for w, value in point.weights.items())}", flush=True)
        copy.prepare(replace(own, set={**own.set, **point.weights}), workers)
        copy.dvc("repro", "--quiet", f"evaluate@{of.method}")
        results = with_result(results, point, read_json(table.parent / f"{of.method}.json"))
        write_results(table, results)
    copy.prepare(own, workers)
