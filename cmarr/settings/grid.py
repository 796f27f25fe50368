"""The points of the parameter study (Figure 4): one weight of the objective moves, the others stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmarr.files import digest

WEIGHTS = {"alpha": "alpha", "beta": "beta", "lambda": "lambda_"}
"""Key in params.yaml -> keyword of CM-ARR."""

COLUMNS = ("key", "alpha", "beta", "lambda", "metric", "condition", "mean", "lo", "hi")
"""Of the file that the results of the study are collected in, metrics/<dataset>/sensitivity.csv."""

UPSTREAM = ("corpus", "prepare", "speech", "video", "text", "split")
"""The settings that a result of CM-ARR depends on besides its own."""


@dataclass(frozen=True)
class Point:
    """One setting of the three weights: `weights` by their keys in params.yaml.

    `key` names everything that the result depends on; equal keys are equal results.
    """

    weights: Mapping[str, float]
    key: str


def curves(
    files: Mapping[str, Mapping[str, Any]], grids: Mapping[str, list[float]]
) -> dict[str, list[Point]]:
    """Weight -> the points of its curve in ascending order, the weight's current value among them.

    files: the resolved settings, as `cmarr.settings.resolve.resolve` gives them or as read back from their
    files; grids: weight -> values.
    """
    now = {weight: float(files["cmarr"]["settings"][keyword]) for weight, keyword in WEIGHTS.items()}
    found = {}
    for weight, values in grids.items():
        every = sorted({now[weight], *map(float, values)})
        found[weight] = [_point(files, {**now, weight: value}) for value in every]
    return found


def _point(files: Mapping[str, Mapping[str, Any]], weights: Mapping[str, float]) -> Point:
    method = {key: value for key, value in files["cmarr"].items() if key != "device"}
    own = {**method["settings"], **{WEIGHTS[weight]: value for weight, value in weights.items()}}
    inputs = {name: files[name] for name in UPSTREAM} | {"cmarr": {**method, "settings": own}}
    return Point(weights, digest(inputs)[:12])
