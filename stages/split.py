"""Cut the manifest into folds: speakers never cross a boundary."""

from cmarr.corpora.manifest import read_manifest
from cmarr.errors import many
from cmarr.folds.files import write_folds
from cmarr.folds.hygiene import require_balanced_speakers
from cmarr.folds.split import describe_rule, split
from stages.paths import Paths
from stages.stage import run


def main(dataset: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings("split")
    utterances = read_manifest(paths.manifest)
    require_balanced_speakers(settings.get("normalise", "corpus"), utterances)
    folds = split(utterances, settings["folds"], settings["n_folds"], classes=settings["classes"])
    rule = describe_rule(utterances, folds, settings["folds"])
    write_folds(paths.folds, folds, rule)
    print(f"{dataset}: {rule}")
    for fold in folds:
        print(
            f"{dataset} fold {fold.number}: {len(fold.train)} training, {len(fold.validation)} validation, "
            + many(len(fold.test), "test utterance")
        )


if __name__ == "__main__":
    run(main)
