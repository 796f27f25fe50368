"""Mirror every current result into MLflow, each exactly once."""

import logging
import os
import subprocess
import sys

from cmarr.corpora.registry import corpus_inventory
from cmarr.errors import UserError
from cmarr.extras import require
from cmarr.files import digest, file_digest, folder_digest
from cmarr.recognition.trained import of_study
from cmarr.seals import read_json
from cmarr.serving.register import register
from cmarr.tracking.mirror import track
from cmarr.tracking.results import Results, content_hash
from stages.mirrored import result_of, study_result
from stages.paths import Paths, corpus_root
from stages.stage import root, run


def main(dataset: str) -> None:
    require("study")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    paths = Paths(dataset)
    _warn_of_a_changed_corpus(dataset, paths)
    data_hash = digest([file_digest(paths.manifest), file_digest(paths.folds), folder_digest(paths.features)])
    tags = {"git_commit": _git_commit(), "dvc_experiment": os.environ.get("DVC_EXP_NAME", "")}
    report = paths.settings("report")
    names = [*report["methods"], *(ablation["name"] for ablation in report["ablations"])]
    results = [result_of(dataset, name, data_hash, tags) for name in names]
    results.append(study_result(dataset, results, data_hash, tags))
    tracked = track(*results, root=root())
    print(f"{dataset}: {tracked.logged} results logged to MLflow, {tracked.already} were there already")
    if paths.settings("track")["register_model"]:
        _register(dataset, {result.variant or result.method: result for result in results}, tags)


def _register(dataset: str, results: dict[str, Results], tags: dict[str, str]) -> None:
    """The best model into the registry; where it is not at hand (a study restored in part), that is said."""
    try:
        best = of_study(dataset)
        result = content_hash(results[best.about.method])
        made = register(best, root=root(), result=result, tags=tags)
    except UserError as error:
        logging.warning("%s: no model is registered: %s", dataset, error)
        return
    if made.version is not None:
        score, new = best.about.models[0].score, "registered" if made.new else "registered already"
        print(
            f"{dataset}: the best model ({best.about.method}, validation score {score:.4f}) is {new}: "
            f"models:/{made.name}/{made.version}"
        )


def _warn_of_a_changed_corpus(dataset: str, paths: Paths) -> None:
    # DVC cannot depend on a corpus outside the repository whose place is a parameter; this stage always runs.
    settings = paths.settings("corpus")
    if settings["kind"] == "demo":
        return
    now = corpus_inventory(
        settings["kind"], corpus_root(settings["root"]), dataset=dataset, **settings["options"]
    )
    then = read_json(paths.corpus / "inventory.json", "run `dvc repro -f corpus`")
    if now["fingerprint"] != then["fingerprint"]:
        logging.warning(
            "%s: the files of the corpus have changed since it was read; `dvc repro -f corpus` reads it again",
            dataset,
        )


def _git_commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root(), capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    run(main)
