"""The results as plain text, for the last lines of a run."""

from cmarr.report.markdown import plain_table
from cmarr.report.notes import nothing_can_be_shown
from cmarr.report.tables import Summaries, results_frame
from cmarr.task import Task


def results_text(summaries: Summaries, task: Task, *, title: str, cluster: str = "speaker") -> str:
    """Title, the table of means without spread, what its numbers are, and whether a test could come out at all."""
    frame = results_frame(summaries, task, spread="none", bold=False)
    clusters = next(iter(summaries.values()))["meta"]["clusters"]
    few = nothing_can_be_shown(clusters, len(summaries) - 1, cluster) if len(summaries) > 1 else []
    unit = "MAE and Corr as they are, the rest in %" if task.regression else "WAR / UAR in %"
    return (
        f"{title}\n{unit}, mean over folds and seeds; '-': no utterance can meet the condition\n\n"
        + plain_table(frame)
        + "".join(f"\n{line.replace('**', '')}\n" for line in few)
    )
