"""What stands under a table: how the numbers came about, and what they do not show."""

from collections.abc import Mapping, Sequence
from typing import Any

from cmarr.errors import listed, many
from cmarr.evaluation.comparison import ALPHA, MODELS, Comparisons, turned
from cmarr.evaluation.resampling import EXACT_UP_TO, smallest_p
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.report.numbers import Summaries, chosen_spread, interval_text, row_label, value_text
from cmarr.report.published import SLIPS, SOURCE
from cmarr.task import Task

FEW = 20
"""Below this many clusters intervals are too narrow to be trusted."""
SENTENCES = 8
"""Up to so many pairs of methods have a sentence each."""
OUTCOMES = {1: "better", 0: "no difference shown", -1: "worse"}
ONE_SEED = (
    "**One seed: what is shown is shown of these trained models, not of the methods.** Another seed trains others, and "
    "how they would score is not known; for a sentence about methods train several, `-S 'seeds=[0,1,2,3,4]'`."
)
"""Under whatever compares models of which some were trained with a single seed."""


def footnotes(
    summaries: Summaries,
    task: Task,
    *,
    dataset: str,
    selection: str,
    folds: str,
    features: Mapping[str, str],
    cluster: str = "speaker",
    spread: str = "auto",
    published: bool = False,
    of_models: bool = False,
) -> list[str]:
    """The sentences under a results table.

    Args:
        selection, folds: the rules, as full sentences.
        features: modality -> what its features are ('speech' -> 'logmel'); a modality without any may be left out.
        cluster: what a cluster is ('speaker', 'video', 'dialogue').
        published: columns of the paper stand beside ours. of_models: what is shown
            is shown of the models of a single seed.
    """
    meta = next(iter(summaries.values()))["meta"]
    lines = [
        many(meta["utterances"], "test utterance")
        + (f" of {many(meta['speakers'], 'speaker')}" if meta["speakers"] else "")
        + f", {many(meta['folds'], 'fold')} and {_seeds(summaries)}. "
        + _number(summaries)
        + _spread(
            chosen_spread(summaries) if spread == "auto" else spread,
            {**meta, "seeds": max(summary["meta"]["seeds"] for summary in summaries.values())},
            cluster,
        )
        + ".",
        folds,
        selection,
        "Features: " + ", ".join(f"{modality} {name}" for modality, name in features.items()) + ".",
        "A score counts the utterances that have a usable modality under the condition; the CSV file also counts "
        "the others, which are answered by the training prior.",
    ]
    lines += _cautions(summaries, task, cluster)
    if len(summaries) > 1:
        lines += _bold(meta["clusters"], cluster, of_models=of_models)
    if published:
        slip = f" {SLIPS[dataset]}" if dataset in SLIPS else ""
        lines.append(
            f"(paper): as printed in {SOURCE}, on its own features and splits, so not a race. "
            f"* not printed there: the mean of its seven cells.{slip}"
        )
    return lines


def _cautions(summaries: Summaries, task: Task, cluster: str) -> list[str]:
    """What keeps numbers from being taken for more than they are: few clusters, empty cells, conventions."""
    first, lines = next(iter(summaries.values())), []
    if first["meta"]["clusters"] < FEW:
        lines.append(
            f"**Only {many(first['meta']['clusters'], cluster)}**: with fewer than {FEW} the intervals are too narrow; "
            "read them as lower bounds of the uncertainty."
        )
    cells = first[primary(task)]
    empty = [row for row, cell in cells.items() if cell["mean"] is None]
    if empty:
        covered = ", ".join(cells["avg7"]["covers"])
        lines.append(
            f"'-': no utterance has all the modalities of the condition ({', '.join(empty)}), so it is not tested; the "
            f"averages cover {covered or 'nothing'} only, and compare with no average over all conditions."
        )
    if task.regression:
        lines.append(
            "Acc-2 and WF1 leave utterances with a true score of zero out (the CSV file has both conventions); "
            "Acc-7 clips to [-3, 3] and rounds. MAE: less is better."
        )
    return lines


def _bold(clusters: int, cluster: str, *, of_models: bool) -> list[str]:
    """What a bold number says, and whether one can stand there at all."""
    return [
        f"Bold: better than every other method here, by paired tests ({many(clusters, cluster)}). "
        + shown_means(
            cluster, "all pairs of methods, all rows and the metrics of the results table together"
        ),
        *([ONE_SEED] if of_models else []),
        *nothing_can_be_shown(clusters, cluster),
    ]


def shown_means(cluster: str, family: str) -> str:
    """What has to hold for a difference to be called shown; `family`: what p is corrected over."""
    return (
        f"A difference is shown when its own 95 % interval excludes zero and p < {ALPHA} when whole {cluster}s are "
        f"swapped, corrected over {family} (max-T). Of a hundred tables of equally good methods at most about five "
        "show anything at all."
    )


def nothing_can_be_shown(clusters: int, cluster: str = "cluster") -> list[str]:
    """One sentence where so few clusters are swapped that no test can come out, however large a difference is."""
    if smallest_p(clusters) < ALPHA:
        return []
    enough = next(n for n in range(2, EXACT_UP_TO) if smallest_p(n) < ALPHA)
    return [
        f"**With {many(clusters, cluster)} no test can show a difference, however large it is**: no p falls below "
        f"{smallest_p(clusters):.3g}, and it has to be below {ALPHA}; {enough} {cluster}s is the least that could do. "
        "Here 'not shown' says nothing about the methods."
    ]


def outcome(cell: Mapping[str, Any]) -> str:
    """'better', 'worse' or 'no difference shown', of the first; what is said of its trained models alone says so."""
    return OUTCOMES[cell["shown"]] + (
        " (these trained models)" if cell["shown"] and cell["of"] == MODELS else ""
    )


def verdicts(
    comparisons: Comparisons,
    task: Task,
    summaries: Summaries,
    *,
    rivals: Sequence[str],
) -> list[str]:
    """One sentence for each method against each plain rival, and one for each rival that was not shown to be beaten.

    Of more than `SENTENCES` pairs a rival has one line with all methods. p-values are corrected over the table, see
    `cmarr.evaluation.comparison`.
    """
    metric, row = primary(task), "avg6"
    pairs = [(m, r) for r in rivals for m in summaries if r in summaries and m not in rivals]
    found = [(m, r, cell) for m, r in pairs if (cell := difference(comparisons, m, r, metric, row))]
    of = f"{row_label(row, summaries)} {metric}"
    unbeaten: dict[str, list[str]] = {rival: [] for _, rival, _ in found}
    told: dict[tuple[str, str], tuple[str, str]] = {}
    for method, rival, cell in found:
        if cell["shown"] != 1:
            unbeaten[rival].append(method)
        size = value_text(metric, cell["difference"], digits=None if metric in ERRORS else 1, sign=True)
        numbers = f"{size} {interval_text(metric, cell['lo'], cell['hi'])}, p = {cell['p_table']:.2g}"
        told[method, rival] = numbers, outcome(cell)
    if len(told) <= SENTENCES:
        lines = [f"{m} - {r}: {of} {numbers}: {how}." for (m, r), (numbers, how) in told.items()]
    else:
        lines = []
        for rival in unbeaten:
            own = {m: words for (m, r), words in told.items() if r == rival}
            each = (
                f"{m} {n}" + (f", **{how}**" if how != OUTCOMES[0] else "") for m, (n, how) in own.items()
            )
            lines.append(f"{of} minus that of {rival}: {'; '.join(each)}.")
    lines += [
        f"**Not shown to beat `{rival}`: {', '.join(names)}.**" for rival, names in unbeaten.items() if names
    ]
    return lines


def difference(
    comparisons: Comparisons, method: str, other: str, metric: str, row: str
) -> dict[str, Any] | None:
    """The cell method minus other, whichever way round it was computed; None where there is no number."""
    if (method, other) in comparisons:
        cell = dict(comparisons[method, other][metric][row])
    elif (other, method) in comparisons:
        cell = turned(comparisons[other, method][metric][row])
    else:
        return None
    return None if cell["difference"] is None else cell


def results_markdown(title: str, table: str, notes: Sequence[str], against: Sequence[str] = ()) -> str:
    """A page: heading, table, the verdicts against the plain rivals, notes."""
    parts = [f"## {title}", table.rstrip()]
    if against:
        parts.append("\n".join(f"- {line}" for line in against))
    parts.append("\n".join(f"- {line}" for line in notes))
    return "\n\n".join(parts) + "\n"


def _number(summaries: Summaries) -> str:
    folds = next(iter(summaries.values()))["meta"]["folds"] > 1
    seeds = any(summary["meta"]["seeds"] > 1 for summary in summaries.values())
    if folds:
        return "A number is the mean over folds of the fold's score" + (", then over seeds" if seeds else "")
    return "A number is the score of the test part" + (", the mean over seeds" if seeds else "")


def _spread(spread: str, meta: Mapping[str, Any], cluster: str) -> str:
    several = [name for name in ("folds", "seeds") if meta[name] > 1]
    deviations = f", ± its standard deviation over {', over '.join(several)}" if several else ""
    if spread != "interval":
        return deviations if spread == "std" else ""
    seeds = " and seeds" if meta["seeds"] > 1 else ""
    return f", [95 % interval] of it, {cluster}s ({meta['clusters']} of them){seeds} resampled{deviations}"


def _seeds(summaries: Summaries) -> str:
    counts = {summary["meta"]["seeds"] for summary in summaries.values()}
    return many(counts.pop(), "seed") if len(counts) == 1 else f"{min(counts)} to {max(counts)} seeds"


def describe_selection(settings: Mapping[str, Any], task: Task) -> str:
    """A sentence or two for the foot of a table, of a report's settings."""
    measure = "lowest validation MAE" if task.regression else "highest validation UAR"
    over = {
        "mean7": "averaged over the seven conditions",
        "avg6": "averaged over the six incomplete conditions",
    }
    rule = settings["selection"]
    where = over.get(rule, "with all modalities" if rule == "complete" else f"under {rule} alone")
    sentence = f"Epoch kept: {measure} {where}; ties to the earliest."
    inner, again = settings["selection_folds"], "on training and validation data together."
    if inner > 1:
        sentence += (
            f" {inner} groups of speakers chose in turn, one of them the validation speakers; for the middle of what "
            f"they chose the models were then trained anew, {again}"
        )
    elif settings["refit"]:
        sentence += f" The models were then trained anew for as many epochs, {again}"
    if closed := closed_forms(settings):
        sentence += (
            f" Fitted in one step, on training and validation data together: {', '.join(closed)}; how strong the "
            "penalty is, and how sure the answer, is chosen on speakers that are left out in turn."
        )
    declared = settings.get("declared", {})
    if reads := [name for name in settings["methods"] if declared.get(name, {}).get("in_dialogues")]:
        sentence += (
            f" **Whole dialogues are read by {', '.join(reads)}**: the utterances around one as well, of which the "
            "other methods see nothing; a difference between the two kinds is also one of what they are told."
        )
    return sentence


def describe_normalisation(settings: Mapping[str, Any]) -> str:
    """What stands beside every score of a study whose features are normalised by speaker; else ''."""
    if settings.get("normalise", "corpus") != "speaker":
        return ""
    return (
        " **Normalised by speaker**: what is usual of a speaker is taken away, measured on all clips of that speaker, "
        "those that are tested among them, without their labels. This is a transductive protocol, and lives on "
        "speakers who speak in every class: compare these numbers with no others, neither published ones nor those "
        "of `normalise: corpus`."
    )


def describe_scarcity(settings: Mapping[str, Any]) -> str:
    """What stands beside every score of a study in which labels or modalities were held back in training; else ''."""
    made = {name: settings.get("made_by", {}).get(name, {}).get("train", {}) for name in settings["methods"]}
    kept = {name: _percent(own.get("labels", 1.0)) for name, own in made.items()}
    lost = {name: _lost(own.get("holes", 0.0)) for name, own in made.items()}
    told = [
        sentence.format(share)
        + ("" if set(by.values()) == {share} else f" ({', '.join(n for n in by if by[n] == share)})")
        for by, usual, sentence in (
            (kept, _percent(1.0), "**Few labels**: {} of the training utterances kept their label"),
            (lost, _lost(0.0), "**Holes in training**: {} of training utterances were taken away, at random"),
        )
        for share in dict.fromkeys(by.values())
        if share != usual
    ]
    return "".join(f" {sentence}." for sentence in told) + (
        " These numbers stand beside none of a study that learns from everything." if told else ""
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _lost(rates: float | Mapping[str, float]) -> str:
    if isinstance(rates, Mapping):
        return listed([f"{_percent(rate)} of {name}" for name, rate in rates.items() if rate]) or _lost(0.0)
    return f"{_percent(rates)} of the modalities"


def closed_forms(settings: Mapping[str, Any]) -> list[str]:
    """The methods of a report's settings that learn from validation speakers, too."""
    made = {name: settings.get("made_by", {}).get(name, {}) for name in settings["methods"]}
    return [name for name, own in made.items() if own.get("settings", {}).get("learn_from") == "both"]
