"""What papers print, with how it was had, beside what is measured here: results/published.yaml as a table."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.studies.plan import RESULTS
from benchmarks.studies.store import Stored, stored
from cmarr.report.numbers import value_text
from cmarr.report.published import SOURCE, table_2
from cmarr.report.table import NOTHING, markdown_table
from cmarr.settings.load import read_yaml

PROTOCOL = {
    "epoch": "epoch chosen",
    "trainings": "trainings",
    "masks": "masks",
    "features": "features",
    "seeds": "seeds",
}
"""What of a protocol is shown, and the name of its column."""
TABLE_2 = {"iemocap": "IEMOCAP, 4 classes", "msp_improv": "MSP-IMPROV, 4 classes"}
HERE = {"CMU-MOSI": "mosi"}
"""Corpus -> the study whose weighted F1 stands beside a printed F1, where it has the method."""


def printed(page: Path) -> str:
    """A row a printed score, by corpus."""
    content = read_yaml(RESULTS / "published.yaml")
    kept = {corpus: stored(name) for corpus, name in HERE.items()}
    rows = [*content["rows"], *_of_cm_arr()]
    corpora = list(dict.fromkeys(row["corpus"] for row in rows))
    return markdown_table(
        pd.DataFrame(
            [
                {
                    "corpus": row["corpus"],
                    "over": row["over"],
                    "metric": row["metric"],
                    "method": row["method"],
                    "printed": str(row["printed"]),
                    "here, WF1": _here(kept.get(row["corpus"]), row),
                    "by": row["from"],
                    **{name: str(had.get(key, NOTHING)) for key, name in PROTOCOL.items()},
                }
                for row in sorted(rows, key=lambda row: corpora.index(row["corpus"]))
                for had in [content["protocols"][row["protocol"]]]
            ]
        )
    )


def _of_cm_arr() -> Iterator[dict[str, Any]]:
    """The averages of CM-ARR's Table 2, whose cells the report prints."""
    for corpus, name in TABLE_2.items():
        for method, cells in (table_2(corpus) or {}).items():
            if pair := cells["avg6"]:
                about = {"method": method, "corpus": name, "over": "avg6", "metric": "WAR/UAR"}
                told = {"from": f"{SOURCE}, Table 2", "protocol": "cm_arr"}
                yield about | told | {"printed": "/".join(f"{value:.2f}" for value in pair)}


def _here(found: Stored | None, row: Mapping[str, Any]) -> str:
    method, over = row["method"].lower(), "avg6" if row["over"] == "fixed" else row["over"]
    if found is None or method not in found.summaries or "F1" not in row["metric"]:
        return NOTHING
    cell = found.summaries[method]["WF1"].get(over)
    return NOTHING if cell is None else value_text("WF1", cell["mean"])
