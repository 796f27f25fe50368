"""The table of the corpus (the paper's Table 1)."""

import pandas as pd

from cmarr.errors import many
from cmarr.report.markdown import markdown_table


def corpus_markdown(statistics: pd.DataFrame, rejected: pd.DataFrame | None = None, *, title: str) -> str:
    """The corpus as a Markdown section.

    Args:
        statistics: one row a corpus, part or speaker group, ready to print: speakers, utterances per class, hours,
            shares of absent modalities. Columns and order are printed as they are.
        rejected: the quarantine list (columns id, modality, stage, reason); counted by stage, modality and reason.
    """
    parts = [f"## {title}", markdown_table(statistics).rstrip()]
    if rejected is not None:
        parts.append(_quarantine(rejected))
    return "\n\n".join(parts) + "\n"


def _quarantine(rejected: pd.DataFrame) -> str:
    if rejected.empty:
        return "Nothing was quarantined."
    shown = rejected.assign(modality=rejected["modality"].fillna("whole utterance"))
    counted = shown.groupby(["stage", "modality"], sort=True).agg(
        inputs=("id", "size"), example=("id", "first"), reason=("reason", "first")
    )
    table = markdown_table(counted.reset_index()).rstrip()
    return f"Quarantined: {many(len(rejected), 'input')}; the first of each kind stands beside its count.\n\n{table}"
