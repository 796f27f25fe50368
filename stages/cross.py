"""Read a corpus that nothing is trained on and extract its features, for a test across corpora."""

import shutil

from cmarr.modalities import NAMES
from stages import corpus, extract, prepare
from stages.paths import Paths
from stages.stage import run


def main(dataset: str, other: str) -> None:
    ours, theirs = Paths(dataset).data / "settings", Paths(other).data / "settings"
    theirs.mkdir(parents=True, exist_ok=True)
    for path in [*sorted((ours / "cross" / other).glob("*.json")), ours / "run.json"]:
        shutil.copyfile(path, theirs / path.name)
    corpus.main(other)
    prepare.main(other)
    for modality in NAMES.values():
        extract.main(other, modality)


if __name__ == "__main__":
    run(main)
