"""Should a damaged modality be used? The section of the page."""

from cmarr.damage.kinds import KINDS
from cmarr.evaluation.scores import primary
from cmarr.report.damage import HOW, QUESTION, Findings, Realised, answers, level_frame, notes
from cmarr.report.damage_figure import LOOKS, panel_figure
from cmarr.report.page import Folded, Points, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.table import Table, slug
from cmarr.task import Task


def damage_section(findings: Findings, realised: Realised, task: Task, *, cluster: str) -> Section:
    """Answers in words, a panel and a table for every kind of damage and method."""
    if not findings:
        return Section("damage", QUESTION, missing=HOW)
    metric = primary(task)
    said = [line for kind, methods in findings.items() for line in answers(kind, methods, task)]
    panels = [
        Panel(
            f"damage-{slug(kind)}-{slug(method)}",
            panel_figure(kind, finding, task),
            f"{KINDS[kind].what}, {method}",
        )
        for kind, methods in findings.items()
        for method, finding in methods.items()
    ]
    drawn = Picture(
        "damage",
        f"{metric} from the undamaged recording to the worst level; band: 95 % interval of using it. A bar at the "
        "foot: there, using or hiding, by its colour, is shown to be better.",
        f"Lines of {metric} over the degree of damage. " + " ".join(said).replace("**", ""),
        panels,
        legend=LOOKS,
    )
    tables = [
        Folded(
            KINDS[kind].what,
            [
                Table(
                    f"damage-{slug(kind)}-{slug(method)}",
                    f"{KINDS[kind].what.capitalize()}, {method}: {metric} by what is done about it.",
                    level_frame(kind, finding, realised.get(kind, {}), task),
                )
                for method, finding in methods.items()
            ],
            open=False,
        )
        for kind, methods in findings.items()
    ]
    lead = (
        "The recordings of the test utterances were damaged and extracted anew. The trained models then answered with "
        "the damaged modality, without it, and by their own choice, utterance by utterance."
    )
    return Section(
        "damage", QUESTION, [lead], [Points(said), drawn, *tables, Points(notes(findings, task, cluster))]
    )
