"""From the files of a study to the sections of its page: the part of the stage `report` that knows where things lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cmarr.files import file_digest, folder_digest, read_json, write_csv
from cmarr.folds.files import read_folds
from cmarr.media.faces_file import NAME, read_faces
from cmarr.modalities import NAMES
from cmarr.report.ablations import Ablations
from cmarr.report.page import Page, Section
from cmarr.report.plots import plot_tables
from cmarr.report.published import table_2, table_3, with_avg7
from cmarr.report.sections.ablations import ablations_section
from cmarr.report.sections.calibration import calibration_section, risk_section
from cmarr.report.sections.confusion import confusion_section
from cmarr.report.sections.cost import cost_section
from cmarr.report.sections.crossing import crossing_section
from cmarr.report.sections.faces import faces_section
from cmarr.report.sections.importance import importance_section
from cmarr.report.sections.learning import learning_section
from cmarr.report.sections.provenance import provenance_section
from cmarr.report.sections.results import results_section
from cmarr.report.sections.robustness import robustness_section
from cmarr.report.sections.summary import summary_section
from cmarr.report.study import Study, read_answers
from stages.paths import Paths

BY_METHOD = ("protocols", "calibration", "calibration_scores", "risk_coverage", "importance")
"""Tables that evaluation leaves in metrics/<dataset>/<method>/."""


def study_page(
    paths: Paths,
    settings: Mapping[str, Any],
    study: Study,
    *,
    selection: str,
    fold_rule: str,
    cluster: str,
    features: Mapping[str, str],
    notes: Sequence[str],
    corpus: Section,
    ablations: Mapping[str, Ablations],
    changes: Mapping[str, str],
    damage: Section,
    sensitivity: Section,
    recovery: Section,
    clusters: Section,
) -> Page:
    """The page of a study; what is read here are the tables of evaluation, the faces, settings and hashes.

    notes: the sentences under Table 2, see `cmarr.report.notes.footnotes`.
    """
    found = {name: _tables(paths, study, name) for name in BY_METHOD}
    for name, table in plot_tables(found["protocols"], study.task).items():
        write_csv(paths.metrics / "report" / "robustness" / name, table)
    paper = table_2(study.dataset)
    loss = "mean absolute error" if study.task.regression else "share of wrong answers"
    meta = next(iter(study.summaries.values()))["meta"]
    sections = [
        summary_section(study, features=features, fold_rule=fold_rule, selection=selection, cluster=cluster),
        corpus,
        results_section(study, notes=notes, cluster=cluster, published=with_avg7(paper) if paper else None),
        confusion_section(study),
        importance_section(found["importance"], study.task),
        robustness_section(found["protocols"], study.task),
        damage,
        calibration_section(found["calibration_scores"], found["calibration"]),
        risk_section(found["calibration_scores"], found["risk_coverage"], loss),
        ablations_section(
            ablations,
            study.task,
            changes=changes,
            published=None if study.task.regression else table_3(),
        ),
        sensitivity,
        recovery,
        clusters,
        _crossing(paths, settings, study),
        learning_section(study),
        faces_section(_faces(paths)),
        cost_section(study.costs),
        provenance_section(_shown(settings), _hashes(paths, settings), dataset=study.dataset),
    ]
    facts = [
        (f"{meta['utterances']:,}", "test utterances"),
        *([(str(meta["speakers"]), "speakers")] if meta["speakers"] else []),
        (
            str(len(study.task.classes)) if study.task.classes else "score",
            "classes" if study.task.classes else "task",
        ),
        (f"{meta['folds']} × {meta['seeds']}", "folds × seeds"),
        (str(len(study.summaries)), "methods"),
    ]
    return Page(
        title=study.dataset,
        subtitle="Which method still knows what is felt when speech, face or words are missing, and how sure that is.",
        sections=sections,
        facts=facts,
        foot=[
            "Every number on this page comes from the predictions files through one function. Its tables lie under "
            "`tables/` as CSV, LaTeX and Markdown, figures under `figures/` as SVG; MLflow holds both (`make ui`)."
        ],
    )


def _tables(paths: Paths, study: Study, name: str) -> dict[str, pd.DataFrame]:
    """Method -> its table of that name, of those that have one."""
    files = {method: paths.metrics / method / f"{name}.csv" for method in study.summaries}
    return {
        method: pd.read_csv(file, keep_default_na=True) for method, file in files.items() if file.is_file()
    }


def _faces(paths: Paths) -> Any:
    sample = paths.features / "video" / NAME
    return read_faces(sample) if sample.is_file() else None


def _crossing(paths: Paths, settings: Mapping[str, Any], study: Study) -> Section:
    folds = [fold.number for fold in read_folds(paths.folds)]
    folders = {name: paths.predictions(f"cross.{name}") for name in settings["cross"]}
    answers = {
        name: {
            method: read_answers(folder, method, folds, settings["seeds"]) for method in settings["methods"]
        }
        for name, folder in folders.items()
    }
    steady = {name: pd.read_parquet(folder / "consistency.parquet") for name, folder in folders.items()}
    return crossing_section(answers, steady, study.task, dataset=study.dataset)


def _shown(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {
        "the study": {k: v for k, v in settings.items() if k not in ("made_by", "corpus", "code")},
        **settings["made_by"],
    }


def _hashes(paths: Paths, settings: Mapping[str, Any]) -> dict[str, str]:
    """What the numbers were computed from, by name."""
    hashes = {
        "raw corpus (names, sizes and contents)": read_json(paths.corpus / "inventory.json")["fingerprint"]
    }
    hashes |= {"manifest": file_digest(paths.manifest), "folds": file_digest(paths.folds)}
    hashes |= {f"features of {m}": folder_digest(paths.features / m) for m in NAMES.values()}
    for name in [*settings["methods"], *(a["name"] for a in settings["ablations"])]:
        hashes[f"predictions of {name}"] = folder_digest(paths.predictions(name))
    return hashes
