"""What the authors' own classes cost, beside ours: one run, in turns, the same tensors, one thread."""

from collections.abc import Mapping
from typing import Any

from benchmarks.records import markdown

HEAD = (
    "method",
    "batch",
    "ours, ms an utterance",
    "theirs",
    "times as fast",
    "parameters",
    "theirs",
    "equal weights",
)


def table(results: Mapping[str, Any]) -> str:
    """A row a method; one that could not be measured says why."""
    return markdown(HEAD, [row(name, run) for name, run in results["runs"].items()])


def row(name: str, run: Mapping[str, Any]) -> list[str]:
    """The cells of one method."""
    if "why" in run:
        return [name, *[""] * (len(HEAD) - 2), f"not measured: {run['why'].replace('|', '/')}"]
    alike = run["equal"]
    said = f"logits differ by {alike['difference']:.1g}" if "difference" in alike else f"none: {alike['why']}"
    return [
        name,
        f"{run['batch']}",
        f"{run['ours_ms']:.2f}",
        f"{run['theirs_ms']:.2f}",
        f"{run['theirs_ms'] / run['ours_ms']:.1f}",
        f"{run['ours_parameters']:,}",
        f"{run['theirs_parameters']:,}",
        said,
    ]
