"""Read a corpus that nothing is trained on and extract its features, for a test across corpora."""

from cmarr.modalities import NAMES
from cmarr.seals import write_json
from stages import corpus, extract, prepare
from stages.paths import Paths
from stages.stage import run


def main(dataset: str, other: str) -> None:
    ours, theirs = Paths(dataset), Paths(other)
    files = ours.settings(f"cross/{other}")["files"] | {"run": ours.settings("run")}
    for name, settings in files.items():
        write_json(theirs.settings_file(name), settings)
    corpus.main(other)
    prepare.main(other)
    for modality in NAMES.values():
        extract.main(other, modality)


if __name__ == "__main__":
    run(main)
