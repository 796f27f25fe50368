"""Everything a person reads about a study: tables, figures, what it cost."""

from cmarr.analyses.every import ANALYSES
from cmarr.analyses.study import Study, load_study
from cmarr.errors import many
from cmarr.report.page import Page, write_page
from stages.paths import Paths, corpus_root, media_root
from stages.stage import run


def study_of(dataset: str) -> Study:
    """The study of a dataset as its report settings name it."""
    paths, settings = Paths(dataset), Paths(dataset).settings("report")
    return load_study(dataset, settings, paths, media_root(corpus_root(settings["root"])))


def page_of(study: Study) -> Page:
    """The page of a study: its analyses one after the other."""
    meta, classes = study.meta, len(study.task.classes)
    return Page(
        title=study.dataset,
        subtitle="Which method still knows what is felt when speech, face or words are missing, and how sure that is.",
        sections=[analysis.section(study) for analysis in ANALYSES.values()],
        facts=[
            _fact(meta["utterances"], "test utterance"),
            *([_fact(meta["speakers"], "speaker")] if meta["speakers"] else []),
            (str(classes), "classes") if classes else ("score", "task"),
            (f"{meta['folds']} × {meta['seeds']}", "folds × seeds"),
            _fact(len(study.summaries), "method"),
        ],
        foot=[
            "Every number on this page comes from the predictions files through one function. Its tables lie under "
            "`tables/` as CSV, LaTeX and Markdown, figures under `figures/` as SVG; MLflow holds both (`make ui`)."
        ],
    )


def _fact(count: int, noun: str) -> tuple[str, str]:
    number, _, what = many(count, noun).partition(" ")
    return number, what


def main(dataset: str) -> None:
    target = Paths(dataset).metrics / "report"
    write_page(target, page_of(study_of(dataset)))
    print((target / "results.txt").read_text())


if __name__ == "__main__":
    run(main)
