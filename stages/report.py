"""Everything a person reads about a study: tables, figures, what it cost."""

import pandas as pd

from cmarr.corpora.manifest import read_manifest, read_quarantine, resolved
from cmarr.corpora.statistics import corpus_table, durations, printed
from cmarr.data.load import load_features
from cmarr.folds.files import read_folds, read_rule
from cmarr.methods.protocol import Task
from cmarr.modalities import MODALITIES, NAMES
from cmarr.report.study import Study, load_study
from cmarr.report.write import write_report
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
        features=settings["features"],
        corpus=printed(corpus),
        rejected=rejected,
        cluster="speaker" if utterances[0].speaker else "video",
    )
    print((paths.metrics / "report" / "results.txt").read_text())


if __name__ == "__main__":
    run(main)
