"""Everything a person reads about a study: tables, figures, what it cost."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cmarr.corpora.manifest import read_manifest, read_quarantine, resolved
from cmarr.corpora.statistics import corpus_table, durations, printed
from cmarr.data.load import load_features
from cmarr.evaluation.recovery import recovery_table
from cmarr.features.faces_file import NAME, read_faces
from cmarr.files import write_csv, write_text
from cmarr.folds.files import read_folds, read_rule
from cmarr.methods.protocol import Task
from cmarr.modalities import LETTERS, MODALITIES, NAMES
from cmarr.report.ablations import Ablations, ablations_markdown, ablations_table, compare_with_full
from cmarr.report.contact_sheet import contact_sheet, describe_faces
from cmarr.report.published import table_3
from cmarr.report.recovery import recovery_figure, recovery_markdown
from cmarr.report.sensitivity import read_results, sensitivity_figure, sensitivity_markdown
from cmarr.report.study import Study, load_study, read_answers
from cmarr.report.style import save_figure
from cmarr.report.write import write_report
from cmarr.settings.grid import UPSTREAM, WEIGHTS, curves
from cmarr.training.selection import describe_rule
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


def _ablations(paths: Paths, settings: dict[str, Any], study: Study) -> Ablations | None:
    """Every ablation that was trained, and `masked`, which is one: CM-ARR's fusion without all the rest."""
    if not settings["ablations"]:
        return None
    variants: dict[str, Any] = {}
    if "masked" in study.frames:
        variants["masked (fusion alone)"] = study.frames["masked"]
    folds = [fold.number for fold in read_folds(paths.folds)]
    for ablation in settings["ablations"]:
        variants[ablation["label"]] = read_answers(
            paths.data / "predictions", ablation["name"], folds, settings["seeds"]
        )
    return compare_with_full(study.frames["cmarr"], variants, study.task)


def _told(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in overrides.items())


def _write_recovery(paths: Paths, labels: Mapping[str, str], changes: Mapping[str, str]) -> None:
    folders = {label: paths.predictions(f"{name}.recovery") for name, label in labels.items()}
    measured = {label: pd.read_parquet(folder / "measured.parquet") for label, folder in folders.items()}
    target = paths.metrics / "report"
    write_text(target / "recovery.md", recovery_markdown(measured, dataset=paths.dataset, changes=changes))
    if not labels:
        return
    tables = [recovery_table(rows).assign(name=label) for label, rows in measured.items()]
    write_csv(target / "recovery.csv", pd.concat(tables))
    points = [pd.read_parquet(f / "points.parquet").assign(name=label) for label, f in folders.items()]
    figure = recovery_figure(
        pd.concat(points), title=f"Recovered and true representations, {paths.dataset}", changes=changes
    )
    for ending in ("png", "svg"):
        save_figure(target / f"recovery.{ending}", figure)


def _write_sensitivity(paths: Paths, settings: dict[str, Any], task: Task) -> None:
    results, found = read_results(paths.metrics / "sensitivity.csv"), {}
    if "cmarr" in settings["methods"]:
        files = {name: paths.settings(name) for name in (*UPSTREAM, "cmarr")}
        found = curves(files, settings["sensitivity"])
    target = paths.metrics / "report"
    write_text(target / "sensitivity.md", sensitivity_markdown(found, results, task, dataset=paths.dataset))
    if not {point.key for curve in found.values() for point in curve} & set(results["key"]):
        return
    now = {weight: files["cmarr"]["settings"][keyword] for weight, keyword in WEIGHTS.items()}
    title = f"CM-ARR over the weights of its objective, {paths.dataset}"
    figure = sensitivity_figure(found, results, task, now=now, title=title)
    for ending in ("png", "svg"):
        save_figure(target / f"sensitivity.{ending}", figure)


def _write_faces(paths: Paths) -> None:
    """The contact sheet of a corpus whose faces were cut out; another one has none."""
    sample = paths.features / "video" / NAME
    if sample.is_file() and (seen := read_faces(sample)):
        title = f"{paths.dataset}: what the video encoder sees; {describe_faces(seen)}"
        save_figure(paths.metrics / "report" / "faces.png", contact_sheet(seen, title=title))


def _cluster(cluster: str, paths: Paths) -> str:
    """What a table calls the clusters: the recordings of MOSI and MOSEI are videos, not dialogues."""
    videos = cluster == "dialogue" and paths.settings("corpus")["kind"] in ("mmsa", "cmu")
    return "video" if videos else cluster


def main(dataset: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings("report")
    study = study_of(dataset)
    utterances = resolved(read_manifest(paths.manifest), media_root(corpus_root(settings["root"])))
    tables = load_features(paths.features)
    available = {m: set(tables[m].ids) if m in tables else set() for m in MODALITIES}
    corpus = corpus_table(dataset, utterances, settings["classes"], available, durations(utterances))
    lists = [paths.quarantine, *(paths.features / name / "quarantine.parquet" for name in NAMES.values())]
    rejected = pd.DataFrame(
        [vars(r) for path in lists for r in read_quarantine(path)],
        columns=["id", "modality", "stage", "reason"],
    )
    write_report(
        paths.metrics / "report",
        study,
        selection=describe_rule(settings["selection"], study.task),
        fold_rule=read_rule(paths.folds),
        features={m: name for m, name in settings["features"].items() if LETTERS[m] in tables},
        corpus=printed(corpus),
        rejected=rejected,
        cluster=_cluster(settings["cluster"], paths),
    )
    changes = {a["label"]: f"{a['method']} with {_told(a['set'])}" for a in settings["ablations"]}
    ablations = _ablations(paths, settings, study)
    write_text(
        paths.metrics / "report" / "ablations.md",
        ablations_markdown(
            ablations,
            study.task,
            dataset=dataset,
            changes=changes,
            published=None if study.task.regression else table_3(),
        ),
    )
    write_csv(paths.metrics / "report" / "ablations.csv", ablations_table(ablations, study.task))
    labels = {a["name"]: a["label"] for a in settings["ablations"]}
    _write_sensitivity(paths, settings, study.task)
    _write_recovery(paths, {name: labels.get(name, name) for name in settings["recovery"]}, changes)
    _write_faces(paths)
    print((paths.metrics / "report" / "results.txt").read_text())


if __name__ == "__main__":
    run(main)
