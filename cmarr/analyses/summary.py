"""What a reader in a hurry should know: what was trained on what, who wins, and what no test carries."""

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.results import better, of_models, tested
from cmarr.analyses.study import Study
from cmarr.errors import listed, many
from cmarr.evaluation.comparison import MODELS
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.modalities import NAMES
from cmarr.report.notes import (
    FEW,
    ONE_SEED,
    describe_normalisation,
    describe_scarcity,
    describe_selection,
    nothing_can_be_shown,
)
from cmarr.report.numbers import interval_text, unit, value_text
from cmarr.report.page import Points, Section

SPOKEN = {"avg6": "the mean of the six incomplete conditions (avg6)", "svt": "all three modalities (svt)"}


def section(study: Study) -> Section:
    """The first section of this study's page."""
    lines = [winner_sentence(study, row) for row in ("avg6", "svt") if _met(study, row)]
    lines += [conditions_sentence(study), *carried(study)]
    clusters = study.meta["clusters"]
    if clusters < FEW:
        lines.append(
            f"Only {many(clusters, study.cluster)} in the test data: the intervals are too narrow rather than "
            "too wide, and small differences cannot be told from luck."
        )
    if len(study.summaries) > 1:
        lines += nothing_can_be_shown(clusters, study.cluster)
        lines += [ONE_SEED] if of_models(study) else []
    rules = describe_selection(study.settings, study.task)
    rules += describe_normalisation(study.settings) + describe_scarcity(study.settings)
    return Section(
        "summary",
        "In short",
        [trained(study), f"{study.leakage} {rules}"],
        [Points([line for line in lines if line])],
    )


def trained(study: Study) -> str:
    """What was trained on what, and what it was asked."""
    meta = study.meta
    speakers = f" of {many(meta['speakers'], 'speaker')}" if meta["speakers"] else ""
    seeds = sorted({s["meta"]["seeds"] for s in study.summaries.values()})
    told = many(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    folds = many(meta["folds"], "fold") if meta["folds"] > 1 else "the corpus' own split"
    made = ", ".join(f"{modality} as `{name}`" for modality, name in study.features.items())
    several = len(study.summaries) > 1
    shared = f"the same features ({made}), folds and masks" if several else f"its features ({made})"
    return (
        f"{listed([f'`{m}`' for m in study.summaries])} {'were' if len(study.summaries) > 1 else 'was'} trained on "
        f"**{study.dataset}** over {folds} and {told}, on {shared}. Every trained "
        f"model then answered the {many(meta['utterances'], 'test utterance')}{speakers} seven times: with each "
        "modality alone, each pair, and all three."
    )


def winner_sentence(study: Study, row: str) -> str:
    """Who has the best number in a row, and whether a test carries it against each of the others."""
    metric, task = primary(study.task), study.task
    means = {m: s[metric][row]["mean"] for m, s in study.summaries.items()}
    best = (min if metric in ERRORS else max)(means, key=lambda m: means[m])
    cell = study.summaries[best][metric][row]
    told = (
        f"{value_text(metric, cell['mean'], digits=None if task.regression else 1)}"
        f"{' %' if unit(metric) else ''} {interval_text(metric, cell['lo'], cell['hi'])}".strip()
    )
    start = f"With {SPOKEN[row]}, " if row == "svt" else f"On {SPOKEN[row]}, "
    if len(means) == 1:
        return f"{start}`{best}` has a {metric} of {told}."
    start += f"`{best}` has the {'lowest' if metric in ERRORS else 'highest'} {metric}, {told}"
    beaten: list[str] = []
    unclear: list[str] = []
    own = [(one, other, found) for one, other, found in tested(study, metric, row) if best in (one, other)]
    for one, other, found in own:
        rival = other if best == one else one
        (beaten if better(found, one, other) == best else unclear).append(f"`{rival}`")
    if not beaten and not unclear:
        return start + "."
    models = any(found["of"] == MODELS for _, _, found in own)
    said = (
        "these trained models of it are shown to be better than those of"
        if models
        else "it is shown to be better than"
    )
    if not unclear:
        return f"{start}, and **{said} {listed(beaten)}**."
    carried_over = f"; {said} {listed(beaten)}" if beaten else ""
    return f"{start}{carried_over}. **No test carries a difference from {listed(unclear)}.**"


def conditions_sentence(study: Study) -> str:
    """In which of the single conditions one method is shown to be better than all others."""
    metric = primary(study.task)
    if len(study.summaries) < 2:
        return ""
    met = [row for row in ROWS if row not in AVERAGES and _met(study, row)]
    won: dict[str, str] = {}
    for row in met:
        wins: dict[str, int] = dict.fromkeys(study.summaries, 0)
        for one, other, found in tested(study, metric, row):
            if (ahead := better(found, one, other)) is not None:
                wins[ahead] += 1
        for method, count in wins.items():
            if count == len(study.summaries) - 1:
                won[row] = method
    if not won:
        return f"Under none of the {many(len(met), 'condition')} is one method shown to be better than all the others."
    told = "; ".join(f"`{method}` {_usable(row)}" for row, method in won.items())
    who = "Trained models shown" if of_models(study) else "Shown"
    return f"{who} to be better than all the others: {told} ({len(won)} of {many(len(met), 'condition')})."


def carried(study: Study) -> list[str]:
    """What recovery is worth: which methods are not shown to beat the plain rivals."""
    metric = primary(study.task)
    if not _met(study, "avg6"):
        return []
    lines = []
    for rival in study.plain:
        unbeaten = [m for m in study.summaries if m not in study.plain]
        for one, other, found in tested(study, metric, "avg6"):
            method = other if one == rival else one
            if rival in (one, other) and better(found, one, other) == method:
                unbeaten = [m for m in unbeaten if m != method]
        if unbeaten:
            lines.append(
                f"Not shown to beat the plain rival `{rival}` on avg6: {listed([f'`{m}`' for m in unbeaten])}."
            )
    return lines


def _usable(row: str) -> str:
    return "with " + listed([NAMES[m] for m in row]) + (" alone" if len(row) == 1 else "")


def _met(study: Study, row: str) -> bool:
    return next(iter(study.summaries.values()))[primary(study.task)][row]["mean"] is not None


ANALYSIS = Analysis(section)
