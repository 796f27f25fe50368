"""What the claim found, small enough for git: results/claim/<size>.json, and its tables as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claim.corpora import Corpus
from benchmarks.claim.plan import CONFIRMING, DETERMINISTIC, METHODS, OURS
from benchmarks.claim.runs import answers, costs
from benchmarks.machine import machine, sentence
from cmarr.errors import many
from cmarr.evaluation.comparison import compare_all, turned
from cmarr.evaluation.predictions import task_of
from cmarr.evaluation.scores import primary
from cmarr.evaluation.summary import summarise
from cmarr.files import read_json, write_json
from cmarr.folds.files import read_folds
from cmarr.report.table import markdown_table

RESULTS = Path("results/claim")
ROWS = ("avg6", "svt")


def keep(size: str, corpora: Sequence[Corpus], methods: Sequence[str], out: Path) -> None:
    """Score and compare what was answered so far, and write it to results/; one corpus of several by its own name."""
    found = answers(corpora, methods, out)
    whole = max(len({int(f["fold"].iloc[0]) for f in frames}) for frames in found.values())
    found = {m: own for m, own in found.items() if len({int(f["fold"].iloc[0]) for f in own}) == whole}
    task = task_of(next(iter(found.values()))[0])
    metric = primary(task)
    content: dict[str, Any] = {
        "size": size,
        "metric": metric,
        "corpora": [c.name for c in corpora],
        "trained_on": _trained_on(corpora, out),
        "methods": {},
    }
    for method, frames in found.items():
        summary, spent = summarise(frames, task), costs(corpora, method, out)
        cells = {row: summary[metric][row] for row in ROWS}
        content["methods"][method] = {
            "seeds": len({int(frame["seed"].iloc[0]) for frame in frames}),
            **{row: cell["mean"] for row, cell in cells.items()},
            "intervals": {row: [cell["lo"], cell["hi"]] for row, cell in cells.items()},
            "std_seeds": {row: cell["std_seeds"] for row, cell in cells.items()},
            "core_seconds": float(np.mean([one["core_seconds"] for one in spent])),
            "peak_memory_mb": max(one["peak_memory_bytes"] for one in spent) / 2**20,
        }
    content["clusters"] = summary["meta"]["clusters"]
    content["pairs"] = {
        "/".join(pair): {row: cells[metric][row] for row in ROWS}
        for pair, cells in compare_all(found, task, deterministic=DETERMINISTIC).items()
    }
    content["machine"] = machine()
    alone = len(corpora) == 1 < len(CONFIRMING.get(size, ()))
    write_json(RESULTS / f"{corpora[0].name if alone else size}.json", content)
    print(table(content))


def _trained_on(corpora: Sequence[Corpus], out: Path) -> int:
    """Training utterances of a fold, the mean."""
    sizes = [
        len(fold.train)
        for corpus in corpora
        for fold in read_folds(out / "corpora" / corpus.name / "folds.parquet")
        if not corpus.tested or fold.number in corpus.tested
    ]
    return round(float(np.mean(sizes)))


def minus(content: Mapping[str, Any], first: str, second: str, row: str) -> dict[str, Any] | None:
    """The comparison of two methods, first minus second; None where one of them did not take part."""
    if own := content["pairs"].get(f"{first}/{second}"):
        return dict(own[row])
    back = content["pairs"].get(f"{second}/{first}")
    return back and turned(back[row])


def table(content: Mapping[str, Any], of: str = OURS) -> str:
    """A row a method: its scores, those of one method minus its, what a training takes."""
    points = content["metric"] == "UAR"
    rows = []
    for method, own in content["methods"].items():
        row = {"method": method, "seeds": own["seeds"]}
        row |= {f"{content['metric']} {name}": score(own[name], points) for name in ROWS}
        for name in ROWS:
            cell = minus(content, of, method, name)
            row[f"{of} minus it, {name}"] = "" if cell is None else difference(cell, points)
        row |= {"core-s": f"{own['core_seconds']:.1f}", "MB": f"{own['peak_memory_mb']:.0f}"}
        rows.append(row)
    return markdown_table(pd.DataFrame(rows))


def score(value: float | None, points: bool) -> str:
    """A score in percent, or an error as it is; '-' where there is none."""
    if value is None:
        return "-"
    return f"{100 * value:.1f}" if points else f"{value:.3f}"


def difference(cell: Mapping[str, Any], points: bool) -> str:
    """A difference with its interval, and what was shown, in points or as it is."""
    if cell["difference"] is None:
        return "-"
    scale, digits = (100, 1) if points else (1, 3)
    one, lo, hi = (
        f"{scale * cell[k]:+.{digits}f}" if cell[k] is not None else "?" for k in ("difference", "lo", "hi")
    )
    told = {1: ", better", -1: ", worse", 0: ""}[cell["shown"]]
    return f"{one} [{lo}, {hi}]{told}"


def claim(name: str, of: str = OURS) -> str:
    """The table of a size, or that it was not run; a block of docs/claim.md. Others are taken from the method `of`."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return f"*Not run yet: `python -m benchmarks.claim run --size {name}`.*"
    content = read_json(path)
    return f"{table(content, of)}\n\n{reached(content)}"


def reached(content: Mapping[str, Any]) -> str:
    """What stands behind a table: how many corpora, clusters and seeds, and what one seed can say."""
    metric = content["metric"] + (" in %" if content["metric"] == "UAR" else "")
    on = f" on {content['trained_on']:,} utterances" if "trained_on" in content else ""
    words = [
        f"{metric} [95 % interval], {content['clusters']} clusters of {', '.join(content['corpora'])}: "
        f"{part(content)}; core-s of one training{on}; MB: the most that the process held by its end, others before it"
    ]
    if 1 in _seeds(content).values():
        words.append(
            ". Of a method with one seed a difference is one of this trained model, not of the method"
        )
    return f"{''.join(words)}. ({sentence(content['machine'])})"


def part(content: Mapping[str, Any]) -> str:
    """Which corpora, seeds and methods of the plan have a part in a size's numbers.

    >>> own = {"cmarr": {"seeds": 2}, "masked": {"seeds": 1}, "linear": {"seeds": 1}}
    >>> part({"size": "240", "corpora": ["240-41"], "methods": own})
    '1 of 5 corpora, 2 seeds (1 of masked; closed forms have one), 3 of 21 methods (linear, masked, cmarr)'

    Rows that were added to the plan later are named after its methods.
    """
    seeds = _seeds(content)
    most = max(seeds.values(), default=1)
    fewer = [
        f"{n} of {', '.join(m for m, own in seeds.items() if own == n)}"
        for n in sorted({*seeds.values()} - {most})
    ]
    told = "; ".join([*fewer, *(["closed forms have one"] if most > 1 else [])])
    absent = [m for m in METHODS if m not in content["methods"]]
    among = [m for m in METHODS if m not in absent]
    methods = f"{len(among)} of {len(METHODS)} methods"
    methods += f", without {', '.join(absent)}" if len(absent) < len(among) else f" ({', '.join(among)})"
    added = [m for m in content["methods"] if m not in METHODS]
    return ", ".join(
        [
            _corpora(content),
            many(most, "seed") + (f" ({told})" if told else ""),
            methods if absent else f"all {len(METHODS)} methods",
            *([f"and {', '.join(added)}"] if added else []),
        ]
    )


def in_short(content: Mapping[str, Any]) -> str:
    """The same as a heading: how many of each.

    >>> own = {"cmarr": {"seeds": 2}, "masked": {"seeds": 1}, "linear": {"seeds": 1}}
    >>> in_short({"size": "240", "corpora": ["240-41"], "methods": own})
    '1 of 5 corpora, 1 to 2 seeds, 3 of 21 methods'
    """
    seeds = sorted({*_seeds(content).values()} or {1})
    told = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else many(seeds[0], "seed")
    here = sum(m in content["methods"] for m in METHODS)
    return f"{_corpora(content)}, {told}, {here} of {len(METHODS)} methods"


def _corpora(content: Mapping[str, Any]) -> str:
    here, planned = len(content["corpora"]), len(CONFIRMING.get(content["size"], ()))
    return f"{here} of {planned} corpora" if here < planned else many(here, "corpus", "corpora")


def _seeds(content: Mapping[str, Any]) -> dict[str, int]:
    """Method -> its seeds; a closed form is the same with every one."""
    return {name: own["seeds"] for name, own in content["methods"].items() if name not in DETERMINISTIC}
