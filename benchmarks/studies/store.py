"""results/<study>.json: what a study found, small enough for git, and enough to compute its tables again.

    command, set, commit, date, machine   how it was had, and on what
    made_of     digests of the resolved settings and code behind the answers, and of the report's
    task        classes (none of a score), what a cluster is, rules of folds and selection, features
    summaries   method -> metric -> condition -> mean, std, lo, hi, n ..., see `cmarr.evaluation.summary.summarise`
    comparisons 'method, other' -> metric -> condition -> see `cmarr.evaluation.comparison.compare`
    scores      method -> one row a fold and seed: each metric under the seven conditions
    tallies     method -> sums a fold, seed, condition and cluster, see `cmarr.evaluation.sufficient_statistics`
    costs       method -> core-seconds of its training, what it starts from counted in
    tables      name -> a table of the report, Markdown, as the run wrote it

Scores are fractions. No prediction is kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.studies.plan import RESULTS
from cmarr.errors import UserError
from cmarr.files import file_digest, read_json, write_text
from cmarr.task import Task


@dataclass(frozen=True)
class Stored:
    """A study as it was kept."""

    name: str
    content: Mapping[str, Any]

    @property
    def task(self) -> Task:
        """What was answered."""
        return Task(tuple(self.content["task"]["classes"]))

    @property
    def cluster(self) -> str:
        """What is resampled: 'speaker', 'video'."""
        return str(self.content["task"]["cluster"])

    @property
    def summaries(self) -> dict[str, Any]:
        """Method -> its summary, in the order of the tables."""
        return dict(self.content["summaries"])

    @property
    def comparisons(self) -> dict[tuple[str, str], Any]:
        """(method, other) -> their comparison."""
        found = {}
        for pair, cells in self.content["comparisons"].items():
            one, other = pair.split(", ")
            found[one, other] = cells
        return found

    def of(self, methods: tuple[str, ...]) -> dict[str, Any]:
        """The summaries of some methods, in the order asked for; of all, where none is named."""
        for name in methods:
            if name not in self.summaries:
                raise UserError(f"the study {self.name} has no method {name!r}")
        return {name: self.summaries[name] for name in methods or self.summaries}


def place(name: str, folder: Path = RESULTS) -> Path:
    """Where a study is kept."""
    return folder / f"{name}.json"


def write(name: str, content: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Keep a study: one line for what nobody reads line by line, so that a diff says which method has moved."""
    write_text(place(name, folder), text(content))


def text(content: Mapping[str, Any]) -> str:
    """The content as JSON."""
    parts = []
    for key, value in content.items():
        if key in ("summaries", "comparisons", "scores", "tallies"):
            lines = [f"  {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in value.items()]
            parts.append(f"{json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, indent=1, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def stored(name: str, folder: Path = RESULTS) -> Stored | None:
    """The study of that name; None where it has not been run."""
    path = place(name, folder)
    return Stored(name, read_json(path)) if path.is_file() else None


def digest_of(name: str, folder: Path = RESULTS) -> str:
    """Of the file, for pictures that were drawn of it."""
    return file_digest(place(name, folder))[:16]
