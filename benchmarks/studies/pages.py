"""What README and docs show of results, written between two comments of a page:

    <!-- shown: scores demo UAR -->
    ...
    <!-- end -->

The words behind `shown:` are a kind of `KINDS` and what it is asked for. Whatever stands between the comments is
replaced; nobody types there. `python -m benchmarks.studies pages`, which `make format` runs, writes every page.
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks import arithmetic as moves
from benchmarks.claim.figures import FIGURES as FIELD
from benchmarks.claim.figures import digest_of as field_digest
from benchmarks.claim.figures import field_claims, field_costs, reached
from benchmarks.claim.table import claim
from benchmarks.machine import sentence
from benchmarks.records import RESULTS as FIGURES
from benchmarks.records import kept
from benchmarks.studies.plan import RESULTS, ROOT, study
from benchmarks.studies.printed import printed
from benchmarks.studies.store import Stored, digest_of, stored
from cmarr.analyses.results import results_figure, scores_frame, winners
from cmarr.encoders.face_network import SHIPPED
from cmarr.errors import UserError, many
from cmarr.evaluation.scores import primary
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.files import read_json
from cmarr.report.notes import verdicts
from cmarr.report.numbers import LABELS, row_label, unit, value_text
from cmarr.report.style import save_figure
from cmarr.report.table import markdown_table
from cmarr.settings.load import read_yaml

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(?P<head><!-- shown: (?P<order>[^>]+?) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
SPREADS = ("std", "std_seeds")
"""Deviations over the folds and over the seeds, as `summarise` names them."""
NOT_RUN = "*Not run yet: `python -m benchmarks.studies run {0}`.*"


def write_pages() -> None:
    """Write every block of every page, and the pictures."""
    draw_pictures()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = written(text, page)
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.relative_to(ROOT)}: written")


def written(text: str, page: Path) -> str:
    """The text of a page with its blocks as the results have them."""

    def block(found: re.Match[str]) -> str:
        kind, *asked = found["order"].split()
        if kind not in KINDS:
            raise UserError(f"{page}: nothing is called {kind!r}; a block shows {', '.join(KINDS)}")
        return f"{found['head']}\n{KINDS[kind](page, *asked).rstrip()}\n\n{found['end']}"

    return BLOCK.sub(block, text)


def scores(page: Path, name: str, metric: str, *methods: str) -> str:
    """A row a method, a column a condition: mean and interval."""
    found = _stored(name)
    if found is None:
        return NOT_RUN.format(name)
    summaries = found.of(methods)
    compared = {pair: cells for pair, cells in found.comparisons.items() if set(pair) <= set(summaries)}
    return f"{markdown_table(scores_frame(summaries, metric, compared))}\n{source(page, found, metric)}"


def conditions(page: Path, name: str, metric: str, *methods: str) -> str:
    """The same the other way round, and narrow: a row a condition, a column a method; deviations, no intervals."""
    found = _stored(name)
    if found is None:
        return NOT_RUN.format(name)
    summaries = found.of(methods)
    best = winners(
        {m: {metric: s[metric], "meta": s["meta"]} for m, s in summaries.items()}, found.comparisons
    )
    rows = []
    for row in ROWS:
        cells = {"available": row_label(row, summaries)}
        for method, summary in summaries.items():
            cell = summary[metric][row]
            told = value_text(metric, cell["mean"], digits=1 if unit(metric) else 3)
            told = f"**{told}**" if best.get((metric, row)) == method else told
            spread = [
                value_text(metric, cell[k], digits=1 if unit(metric) else 3) for k in SPREADS if cell.get(k)
            ]
            cells[method] = f"{told} ± {', '.join(spread)}" if spread else told
        rows.append(cells)
    return f"{markdown_table(pd.DataFrame(rows))}\n{source(page, found, metric, '± deviations over folds, over seeds')}"


def source(page: Path, found: Stored, metric: str, spread: str = "") -> str:
    """What the numbers of a table are, and where they come from."""
    meta, told = next(iter(found.summaries.values()))["meta"], found.content
    spread = spread or "[95 % interval] ± deviations over folds, over seeds"
    measure = LABELS.get(metric, metric) + (" in %" if unit(metric) else "")
    of = f"{many(meta['folds'], 'fold')} and " if meta["folds"] > 1 else ""
    link = f"[`{name_of(found)}`]({'results' if page.parent == ROOT else '../results'}/{name_of(found)})"
    return (
        f"{measure}, the mean of {of}{many(len(told['task']['seeds']), 'seed')} {spread}; "
        f"{many(meta['utterances'], 'test utterance')} of {many(meta['clusters'], found.cluster)}. "
        f"{link}: {told['date']}, commit {told['commit']}, {arithmetic(found)}."
    )


def name_of(found: Stored) -> str:
    """Of the study's file."""
    return f"{found.name}.json"


def arithmetic(found: Stored) -> str:
    """What it was computed with."""
    machine = found.content["machine"]
    where = machine["processor"] if machine["gpu"] == "none" else machine["gpu"]
    return f"{where} ({machine['arithmetic']}), torch {machine['torch']}"


def against(page: Path, name: str, *asked: str) -> str:
    """The verdicts that the report prints: each method, or those asked for as of:NAME, against each of the rivals.

    Rivals are the names without of:, by default the plain ones.
    """
    found = _stored(name)
    if found is None:
        return NOT_RUN.format(name)
    of = [word.removeprefix("of:") for word in asked if word.startswith("of:")]
    rivals = [word for word in asked if not word.startswith("of:")] or found.content["task"]["plain"]
    known = [rival for rival in rivals if rival in found.summaries]
    summaries = found.of(tuple(dict.fromkeys([*of, *known]))) if of else found.summaries
    told = verdicts(found.comparisons, found.task, summaries, rivals=known)
    return "\n".join(f"- {line}" for line in told)


def costs(page: Path, name: str) -> str:
    """Core-seconds of a study's trainings, what a method starts from counted in."""
    found = _stored(name)
    if found is None:
        return NOT_RUN.format(name)
    seconds = found.content["costs"]
    runs = len(next(iter(found.content["scores"].values())))
    rows = [
        {"method": method, "all trainings, core-s": f"{own:.0f}", "one training, core-s": f"{own / runs:.1f}"}
        for method, own in seconds.items()
    ]
    return (
        f"{markdown_table(pd.DataFrame(rows))}\n({arithmetic(found)}; other programs may have run beside it)"
    )


def tolerance(page: Path) -> str:
    """How far the same study moves between processors, in a sentence."""
    if not (RESULTS / "arithmetic.json").is_file():
        return "*Not measured yet: `python -m benchmarks.arithmetic`.*"
    told = moves.sentence(kept("arithmetic", RESULTS))
    return f"{told} [Measured]({'docs/' if page.parent == ROOT else ''}speed.md#on-another-processor)."


def arithmetics(page: Path) -> str:
    """What each arithmetic moves."""
    if not (RESULTS / "arithmetic.json").is_file():
        return "*Not measured yet: `python -m benchmarks.arithmetic`.*"
    content = kept("arithmetic", RESULTS)
    machine = content["machine"]
    return (
        f"{moves.table(content)}\n\n({content['date']}, commit {content['commit']}, {machine['processor']}, "
        f"{machine['arithmetic']}, torch {machine['torch']})"
    )


def picture(page: Path, name: str) -> str:
    """The figure of a study, with what it shows in words."""
    found = _stored(name)
    if found is None:
        return NOT_RUN.format(name)
    metric = primary(found.task)
    told = "; ".join(
        f"{method} {value_text(metric, summary[metric]['avg6']['mean'])}"
        for method, summary in found.summaries.items()
    )
    return (
        f"![{metric} of each method by available modalities, {found.content['task']['dataset']}; mean of the six "
        f"incomplete conditions: {told}]({_folder(page)}{name}.png)\n<!-- drawn of {digest_of(name)} -->"
    )


def _folder(page: Path) -> str:
    """Where the pictures lie, seen from a page."""
    return "docs/" if page.parent == ROOT else ""


def field(page: Path, name: str) -> str:
    """A picture of every method on the corpora of the claim, with what it shows in words."""
    found = reached()
    if not FIELD[name].ready(found):
        return "*Not run yet: `python -m benchmarks.claim run`.*"
    return f"![{FIELD[name].alt(found)}]({_folder(page)}{name}.png)\n<!-- drawn of {field_digest(found)} -->"


def table(page: Path, name: str, *tables: str) -> str:
    """Tables of the report as the run wrote them."""
    found = _stored(name)
    if found is None:
        return NOT_RUN.format(name)
    return "\n\n".join(found.content["tables"][one] for one in tables)


def benchmark(page: Path, module: str, made: str = "table") -> str:
    """The table that a benchmark makes of what it kept in benchmarks/results/, and the machine that it ran on."""
    own, name = importlib.import_module(f"benchmarks.{module}"), module.rpartition(".")[2]
    if not (FIGURES / f"{name}.json").is_file():
        return f"*Not measured yet: `python -m benchmarks.{module}`.*"
    content = kept(name)
    table = getattr(own, made)(content["result"] if module.startswith("engine.") else content)
    return f"{table}\n\n({sentence(content['machine'])})"


def drawn(page: Path, module: str) -> str:
    """The picture that a benchmark draws of what it kept, with what it shows in words."""
    if not (FIGURES / f"{module}.json").is_file():
        return f"*Not measured yet: `python -m benchmarks.{module}`.*"
    content = kept(module)
    told = importlib.import_module(f"benchmarks.{module}").words(content)
    return f"![{told}]({module}.png)\n<!-- drawn of {field_digest(content)} -->"


def denseface(page: Path) -> str:
    """What is published of FER+ beside what the shipped weights score."""
    quoted, found = (
        read_yaml(RESULTS / "quoted.yaml"),
        read_json(SHIPPED.with_suffix(".json"))["test"]["plain"],
    )
    rows = []
    for key, metric, faces in (
        ("denseface", "UAR", "all"),
        ("denseface", "accuracy", "all"),
        ("vgg13", "accuracy", "majority"),
    ):
        printed, (value, lo, hi) = quoted[key]["numbers"][metric], found[faces][metric]
        within = (
            "within" if 100 * lo <= printed <= 100 * hi else "above" if value * 100 > printed else "below"
        )
        here = f"{100 * value:.2f} [{100 * lo:.2f}, {100 * hi:.2f}]"
        name = f"{metric}, {'all' if faces == 'all' else 'majority subset of'} test faces, %"
        rows.append({"": name, "published": f"{printed:.2f}", "by": quoted[key]["from"], "here": here})
        rows[-1]["here is"] = (
            within if within != "within" else "the published number lies within the interval"
        )
    return markdown_table(pd.DataFrame(rows))


KINDS: dict[str, Callable[..., str]] = {
    "scores": scores,
    "conditions": conditions,
    "verdicts": against,
    "costs": costs,
    "tolerance": tolerance,
    "arithmetics": arithmetics,
    "picture": picture,
    "table": table,
    "benchmark": benchmark,
    "drawn": drawn,
    "denseface": denseface,
    "claim": lambda page, *asked: claim(*asked),
    "field": field,
    "claims": lambda page: field_claims(reached()),
    "field_costs": lambda page: field_costs(reached()),
    "printed": printed,
}


def draw_pictures() -> None:
    """Draw the figure of each study that a page shows, unless it was drawn of this very result."""
    for page in PAGES:
        for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
            kind, *asked = found["order"].split()
            place = ROOT / "docs" / f"{asked[0]}.png" if asked else ROOT
            if (
                kind == "picture"
                and (own := stored(asked[0]))
                and not _drawn(found, digest_of(asked[0]), place)
            ):
                metric = primary(own.task)
                title = f"{metric} by available modalities, {own.content['task']['dataset']}"
                drawn = results_figure(
                    own.summaries, own.task, metric=metric, title=title, cluster=own.cluster
                )
                save_figure(place, drawn, dpi=110)
            if kind == "drawn" and (FIGURES / f"{asked[0]}.json").is_file():
                content = kept(asked[0])
                if not _drawn(found, field_digest(content), place):
                    own = importlib.import_module(f"benchmarks.{asked[0]}")
                    save_figure(place, own.figure(content), dpi=110)
            sizes = reached() if kind == "field" else {}
            if sizes and FIELD[asked[0]].ready(sizes) and not _drawn(found, field_digest(sizes), place):
                save_figure(place, FIELD[asked[0]].draw(sizes), dpi=110)


def _drawn(block: re.Match[str], digest: str, place: Path) -> bool:
    return f"drawn of {digest}" in block[0] and place.is_file()


def _stored(name: str) -> Stored | None:
    return stored(study(name).name)


def unused() -> list[str]:
    """Results that no block shows."""
    asked = {
        word
        for page in PAGES
        for found in BLOCK.finditer(page.read_text("utf-8"))
        for word in found[0].split()
    }
    return sorted({path.stem for path in RESULTS.glob("*.json")} - asked - {"arithmetic"})
