"""The points of the parameter study (Figure 4): one weight of the objective moves, the others stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmarr.files import digest

COLUMNS = ("key", "alpha", "beta", "lambda", "metric", "condition", "mean", "lo", "hi")
"""Of the file that the results of the study are collected in, metrics/<dataset>/sensitivity.csv."""

UPSTREAM = ("corpus", "prepare", "speech", "video", "text", "split")
"""The settings that a result of a method depends on besides its own."""


@dataclass(frozen=True)
class Point:
    """One setting of the weights: `weights` by their keys in params.yaml.

    `key` names everything that the result depends on; equal keys are equal results.
    """

    weights: Mapping[str, float]
    key: str


@dataclass(frozen=True)
class Studied:
    """Whose weights are moved: a method, and weight -> the setting of the method that it is."""

    method: str
    weights: Mapping[str, str]

    def now(self, files: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        """Weight -> its current value, of the resolved settings."""
        own = files[self.method]["settings"]
        return {weight: float(own[setting]) for weight, setting in self.weights.items()}


def studied(report: Mapping[str, Any], grids: Mapping[str, Any]) -> Studied | None:
    """The first trained method whose objective has all these weights. report: the report's settings, as resolved."""
    for method in report["methods"]:
        weights = dict(report["declared"][method]["objective"])
        if weights.keys() >= grids.keys():
            return Studied(method, weights)
    return None


def curves(
    files: Mapping[str, Mapping[str, Any]], grids: Mapping[str, list[float]], of: Studied
) -> dict[str, list[Point]]:
    """Weight -> the points of its curve in ascending order, the weight's current value among them.

    files: the resolved settings, as `cmarr.settings.resolve.resolve` gives them or as read back from their
    files; grids: weight -> values.
    """
    now = of.now(files)
    found = {}
    for weight, values in grids.items():
        every = sorted({now[weight], *map(float, values)})
        found[weight] = [_point(files, {**now, weight: value}, of) for value in every]
    return found


def _point(files: Mapping[str, Mapping[str, Any]], weights: Mapping[str, float], of: Studied) -> Point:
    method = {key: value for key, value in files[of.method].items() if key != "device"}
    own = {**method["settings"], **{of.weights[weight]: value for weight, value in weights.items()}}
    inputs = {name: files[name] for name in UPSTREAM} | {of.method: {**method, "settings": own}}
    return Point(weights, digest(inputs)[:12])
