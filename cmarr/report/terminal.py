"""The results as plain text, for the last lines of a run."""

from cmarr.methods.protocol import Task
from cmarr.report.markdown import plain_table
from cmarr.report.tables import Summaries, results_frame


def results_text(summaries: Summaries, task: Task, *, title: str) -> str:
    """Title, the table of means without spread, and what its numbers are."""
    frame = results_frame(summaries, task, spread="none", bold=False)
    unit = "MAE and Corr as they are, the rest in %" if task.regression else "WAR / UAR in %"
    return (
        f"{title}\n{unit}, mean over folds and seeds; '-': no utterance can meet the condition\n\n"
        + plain_table(frame)
    )
