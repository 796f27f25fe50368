"""Table 3: every ablation beside the full method, and beside what the paper printed."""

from collections.abc import Mapping

from cmarr.evaluation.scores import primary
from cmarr.report.ablations import Ablations, differences_frame, scores_frame, verdicts
from cmarr.report.page import Block, Points, Section
from cmarr.report.published import SOURCE, Published
from cmarr.report.sections.results import unit
from cmarr.report.table import Table
from cmarr.task import Task

HOW = "No ablation has been trained here: `make ablations` trains them all, or name some under `ablate` in params.yaml."


def ablations_section(
    found: Mapping[str, Ablations],
    task: Task,
    *,
    changes: Mapping[str, str],
    published: Published | None = None,
) -> Section:
    """The section of Table 3.

    found: full method -> its ablations. changes: label -> what that variant changes, in words. published: the
    paper's Table 3, whose rows stand under those of CM-ARR's ablations.
    """
    title = "Ablations (Table 3)"
    if not found:
        return Section("ablations", title, missing=HOW)
    metric = primary(task)
    blocks: list[Block] = []
    for method, ablations in found.items():
        paper = published if method == "cmarr" else None
        notes = [f"{label}: {change}" for label, change in changes.items() if label in ablations.summaries]
        if paper:
            notes.append(
                f"(paper): {SOURCE}, Table 3, on IEMOCAP with its own features; context, not a race."
            )
        blocks += [
            Points(verdicts(ablations, task), f"Variants of {method}: does leaving it out hurt?"),
            Table(
                f"ablations-{method}",
                f"{'Table 3, ' if method == 'cmarr' else ''}{method} and its variants, {metric}{unit(metric)} "
                "[95 % interval].",
                scores_frame(ablations, metric, paper),
                notes,
            ),
            Table(
                f"ablations-{method}-differences",
                f"Each variant minus the full {method}, {metric}{unit(metric)} [95 % interval, paired].",
                differences_frame(ablations, metric, paper),
            ),
        ]
    return Section("ablations", title, (), blocks)
