"""Extract one kind of damage to the raw signal, at every level, of the test utterances alone."""

from typing import Any

from cmarr.damage.kinds import KINDS
from cmarr.damage.tables import LEVELS
from cmarr.modalities import NAMES
from cmarr.seals import write_json
from stages.paths import Paths, corpus_root, media_root
from stages.resume import unfinished
from stages.stage import run


def main(dataset: str, kind: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"damage/{kind}")
    if settings["levels"]:
        _extract(paths, kind, settings)
    else:
        write_json(paths.damaged(kind) / LEVELS, {"levels": []})


def _extract(paths: Paths, kind: str, settings: dict[str, Any]) -> None:
    # these take seconds to import, and most runs ask for no damage
    from cmarr.corpora.manifest import read_manifest
    from cmarr.damage.levels import extract_levels
    from cmarr.files import file_digest, folder_digest
    from cmarr.folds.files import read_folds
    from stages.extract import encoder_of, made_elsewhere

    root = corpus_root(paths.settings("prepare")["root"])
    extraction, modality = settings["extraction"], NAMES[KINDS[kind].modality]
    machine = paths.settings("run")
    encoder = encoder_of(paths.dataset, modality, extraction, root, machine)
    inputs = [settings, encoder.describe(), folder_digest(paths.corpus)]
    inputs += [file_digest(path) for path in (paths.manifest, paths.folds)]
    with unfinished(f"damage-{paths.dataset}-{kind}", inputs) as folder:
        summaries = extract_levels(
            read_manifest(paths.manifest).below(media_root(root)),
            read_folds(paths.folds),
            kind,
            settings["levels"],
            encoder,
            paths.damaged(kind),
            seed=settings["seed"],
            sound=settings.get("sound", "white"),
            resume=folder,
            shard_size=extraction["shard_size"],
            max_rejected=extraction["max_rejected"],
            make=made_elsewhere(extraction, machine),
        )
    for level, summary in zip(settings["levels"], summaries, strict=True):
        print(f"{paths.dataset} {kind} {level:g}{KINDS[kind].unit}: {summary}")


if __name__ == "__main__":
    run(main)
