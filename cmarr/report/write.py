"""The tables of a study as Markdown, CSV and plain text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmarr.evaluation.summary import long_table
from cmarr.files import write_csv, write_text
from cmarr.report.corpus import corpus_markdown
from cmarr.report.markdown import markdown_table
from cmarr.report.notes import results_markdown, verdicts
from cmarr.report.published import table_2, with_avg7
from cmarr.report.sections.cost import cost_table
from cmarr.report.study import Study
from cmarr.report.tables import results_frame
from cmarr.report.terminal import results_text


def write_report(
    folder: str | Path,
    study: Study,
    *,
    notes: Sequence[str],
    corpus: pd.DataFrame,
    rejected: pd.DataFrame,
    cluster: str,
) -> None:
    """Write the tables of a study into `folder`.

    results.md, results.csv, results.txt (Table 2), corpus.md, corpus.csv (Table 1), costs.md.

    Args:
        notes: the sentences under the table, see `cmarr.report.notes.footnotes`.
        corpus: Table 1, ready to print. rejected: the quarantine list.
        cluster: what the intervals resample: 'speaker', 'video', 'dialogue'.
    """
    folder = Path(folder)
    paper = table_2(study.dataset)
    published = with_avg7(paper) if paper else None
    table = results_frame(study.summaries, study.task, published=published, comparisons=study.comparisons)
    against = verdicts(study.comparisons, study.task, study.summaries)
    title = (
        f"{study.dataset}: {'scores' if study.task.regression else 'WAR / UAR in %'} by available modalities"
    )
    write_text(folder / "results.md", results_markdown(title, markdown_table(table), notes, against))
    write_text(
        folder / "results.txt",
        results_text(study.summaries, study.task, title=study.dataset, cluster=cluster),
    )
    write_csv(
        folder / "results.csv", pd.concat([long_table(s, method=m) for m, s in study.summaries.items()])
    )
    write_text(folder / "corpus.md", corpus_markdown(corpus, rejected, title=f"{study.dataset}: the corpus"))
    write_csv(folder / "corpus.csv", corpus)
    write_text(folder / "costs.md", f"## {study.dataset}: cost\n\n{cost_table(study.costs).markdown()}")
