"""Everything a person reads about a study: tables, figures, what it cost."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from cmarr.corpora.manifest import read_manifest, read_quarantine, resolved
from cmarr.corpora.statistics import corpus_table, durations, printed
from cmarr.damage.kinds import KINDS
from cmarr.damage.tables import read_levels
from cmarr.evaluation.clusters import silhouette_table
from cmarr.evaluation.damage_study import Finding, examine
from cmarr.evaluation.recovery import recovery_table
from cmarr.evaluation.spread import read_spread
from cmarr.features.shards import load_features
from cmarr.files import write_csv, write_text
from cmarr.folds.files import read_folds, read_rule
from cmarr.modalities import LETTERS, MODALITIES, NAMES
from cmarr.report.ablations import Ablations, ablations_markdown, ablations_table, compare_with_full
from cmarr.report.clusters import clusters_markdown
from cmarr.report.damage import QUESTION, write_damage
from cmarr.report.damage_figure import damage_figure
from cmarr.report.notes import describe_selection, footnotes
from cmarr.report.page import Section, write_page
from cmarr.report.published import table_2, table_3
from cmarr.report.recovery import recovery_markdown
from cmarr.report.sections.clusters import clusters_section
from cmarr.report.sections.corpus import corpus_section
from cmarr.report.sections.damage import damage_section
from cmarr.report.sections.recovery import recovery_section
from cmarr.report.sections.sensitivity import sensitivity_section
from cmarr.report.sensitivity import read_results, sensitivity_markdown
from cmarr.report.study import Study, load_study, read_answers, read_cost, training_time
from cmarr.report.style import save_figure
from cmarr.report.write import write_report
from cmarr.settings.grid import WEIGHTS, curves
from cmarr.settings.labels import FULL, FUSION_ALONE
from cmarr.task import Task
from stages.pages import study_page
from stages.paths import Paths, corpus_root, media_root
from stages.stage import run


def study_of(dataset: str) -> Study:
    """The study of a dataset as its report settings name it."""
    paths, settings = Paths(dataset), Paths(dataset).settings("report")
    return load_study(
        dataset,
        Task(tuple(settings["classes"])),
        settings["methods"],
        settings["seeds"],
        predictions=paths.data / "predictions",
        metrics=paths.metrics,
        folds=[fold.number for fold in read_folds(paths.folds)],
    )


def _ablations(paths: Paths, settings: dict[str, Any], study: Study) -> dict[str, Ablations]:
    """Full method -> every ablation of it that was trained; `masked` is one of CM-ARR: fusion without the rest."""
    variants: dict[str, dict[str, Any]] = {}
    folds = [fold.number for fold in read_folds(paths.folds)]
    for ablation in settings["ablations"]:
        full, label = ablation["against"], ablation["label"]
        if full not in variants:
            plain = full == "cmarr" and "masked" in study.frames
            variants[full] = {FUSION_ALONE: study.frames["masked"]} if plain else {}
        variants[full][label] = read_answers(
            paths.data / "predictions", ablation["name"], folds, settings["seeds"]
        )
    return {full: compare_with_full(study.frames[full], own, study.task) for full, own in variants.items()}


def _write_ablations(
    paths: Paths, settings: dict[str, Any], study: Study, changes: Mapping[str, str]
) -> dict[str, Ablations]:
    found, task = _ablations(paths, settings, study), study.task
    names = {a["label"]: a["name"] for a in settings["ablations"]} | {FUSION_ALONE: "masked"}
    pages, tables = [], []
    for full, ablations in found.items():
        own = {FULL: full} | {label: names[label] for label in ablations.comparisons}
        page = ablations_markdown(
            ablations,
            task,
            dataset=paths.dataset,
            method=full,
            changes={label: changes[label] for label in own if label in changes},
            times={label: training_time(read_cost(paths.metrics / name)) for label, name in own.items()},
            published=table_3() if full == "cmarr" and not task.regression else None,
        )
        pages.append(page)
        tables.append(ablations_table(ablations, task).assign(method=full))
    target = paths.metrics / "report"
    none = ablations_markdown(None, task, dataset=paths.dataset)
    write_text(target / "ablations.md", "\n".join(pages) or none)
    write_csv(target / "ablations.csv", pd.concat(tables) if tables else ablations_table(None, task))
    return found


def _told(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in overrides.items())


def _recovery(paths: Paths, labels: Mapping[str, str], changes: Mapping[str, str]) -> Section:
    folders = {label: paths.predictions(f"{name}.recovery") for name, label in labels.items()}
    measured = {label: pd.read_parquet(folder / "measured.parquet") for label, folder in folders.items()}
    target = paths.metrics / "report"
    write_text(target / "recovery.md", recovery_markdown(measured, dataset=paths.dataset, changes=changes))
    if not labels:
        return recovery_section({}, None, changes=changes, dataset=paths.dataset)
    tables = [recovery_table(rows).assign(name=label) for label, rows in measured.items()]
    write_csv(target / "recovery.csv", pd.concat(tables))
    points = [pd.read_parquet(f / "points.parquet").assign(name=label) for label, f in folders.items()]
    return recovery_section(measured, pd.concat(points), changes=changes, dataset=paths.dataset)


def _clusters(paths: Paths, labels: Mapping[str, str], changes: Mapping[str, str]) -> Section:
    folders = {label: paths.predictions(f"{name}.clusters") for name, label in labels.items()}
    measured = {label: pd.read_parquet(folder / "measured.parquet") for label, folder in folders.items()}
    target = paths.metrics / "report"
    write_text(target / "clusters.md", clusters_markdown(measured, dataset=paths.dataset, changes=changes))
    if not labels:
        return clusters_section({}, None, dataset=paths.dataset)
    tables = [silhouette_table(rows).assign(name=label) for label, rows in measured.items()]
    write_csv(target / "clusters.csv", pd.concat(tables))
    points = [pd.read_parquet(f / "points.parquet").assign(name=label) for label, f in folders.items()]
    return clusters_section(measured, pd.concat(points), dataset=paths.dataset)


def _sensitivity(paths: Paths, settings: dict[str, Any], task: Task) -> Section:
    results, found, now = read_results(paths.metrics / "sensitivity.csv"), {}, {}
    if "cmarr" in settings["methods"]:
        files = settings["made_by"] | {"corpus": settings["corpus"]}
        found = curves(files, settings["sensitivity"])
        now = {weight: files["cmarr"]["settings"][keyword] for weight, keyword in WEIGHTS.items()}
    page = sensitivity_markdown(found, results, task, dataset=paths.dataset)
    write_text(paths.metrics / "report" / "sensitivity.md", page)
    return sensitivity_section(found, results, task, now=now, dataset=paths.dataset)


def _damage(paths: Paths, settings: dict[str, Any], task: Task, cluster: str) -> Section:
    folds = [fold.number for fold in read_folds(paths.folds)]
    told = {kind: read_levels(paths.damaged(kind))["levels"] for kind in KINDS}
    realised = {
        kind: {row["level"]: row["realised"] for row in levels if "realised" in row}
        for kind, levels in told.items()
    }
    findings: dict[str, dict[str, Finding]] = {}
    for method in settings["methods"] if any(told.values()) else ():
        rows = read_answers(paths.data / "predictions", method, folds, settings["seeds"], protocol=None)
        spread = read_spread(paths.predictions(method))
        for kind in KINDS:
            if (finding := examine(rows, task, kind, spread)) is not None:
                findings.setdefault(kind, {})[method] = finding
    found = {kind: findings[kind] for kind in KINDS if kind in findings}
    target = paths.metrics / "report"
    write_damage(target, found, realised, task, dataset=paths.dataset, cluster=cluster)
    for ending in ("png", "svg") if found else ():
        figure = damage_figure(found, task, title=f"{QUESTION} {paths.dataset}")
        save_figure(target / f"damage.{ending}", figure, dpi=100)
    return damage_section(found, realised, task, cluster=cluster)


def _cluster(cluster: str, kind: str) -> str:
    """What a table calls the clusters: the recordings of MOSI and MOSEI are videos, not dialogues."""
    videos = cluster == "dialogue" and kind in ("mmsa", "cmu")
    return "video" if videos else cluster


def main(dataset: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings("report")
    study = study_of(dataset)
    utterances = resolved(read_manifest(paths.manifest), media_root(corpus_root(settings["root"])))
    tables = load_features(paths.features)
    available = {m: set(tables[m].ids) if m in tables else set() for m in MODALITIES}
    seconds = durations(utterances)
    corpus = corpus_table(dataset, utterances, settings["classes"], available, seconds)
    lists = [paths.quarantine, *(paths.features / name / "quarantine.parquet" for name in NAMES.values())]
    rejected = pd.DataFrame(
        [vars(r) for path in lists for r in read_quarantine(path)],
        columns=["id", "modality", "stage", "reason"],
    )
    cluster = _cluster(settings["cluster"], settings["corpus"]["kind"])
    features = {m: name for m, name in settings["features"].items() if LETTERS[m] in tables}
    fold_rule = read_rule(paths.folds)
    selection = describe_selection(settings["selection"], study.task, settings["refit"])
    notes = partial(
        footnotes,
        study.summaries,
        study.task,
        dataset=dataset,
        selection=selection,
        folds=fold_rule,
        features=features,
        cluster=cluster,
        published=table_2(dataset) is not None,
    )
    write_report(
        paths.metrics / "report",
        study,
        notes=notes(),
        corpus=printed(corpus),
        rejected=rejected,
        cluster=cluster,
    )
    changes = {a["label"]: f"{a['method']} with {_told(a['set'])}" for a in settings["ablations"]}
    ablations = _write_ablations(paths, settings, study, changes)
    labels = {a["name"]: a["label"] for a in settings["ablations"]}
    page = study_page(
        paths,
        settings,
        study,
        selection=selection,
        fold_rule=fold_rule,
        cluster=cluster,
        features=features,
        notes=notes(spread="interval"),
        corpus=corpus_section(
            dataset,
            utterances,
            read_folds(paths.folds),
            classes=settings["classes"],
            available=available,
            seconds=seconds,
            fold_rule=fold_rule,
            rejected=rejected,
        ),
        ablations=ablations,
        changes=changes,
        damage=_damage(paths, settings, study.task, cluster),
        sensitivity=_sensitivity(paths, settings, study.task),
        recovery=_recovery(paths, {name: labels.get(name, name) for name in settings["recovery"]}, changes),
        clusters=_clusters(paths, {name: labels.get(name, name) for name in settings["clusters"]}, changes),
    )
    write_page(paths.metrics / "report", page)
    print((paths.metrics / "report" / "results.txt").read_text())


if __name__ == "__main__":
    run(main)
