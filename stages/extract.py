"""Extract the features of one modality into Parquet shards."""

from typing import Any

from cmarr.corpora.manifest import read_manifest, resolved
from cmarr.corpora.registry import corpus_features
from cmarr.encoders.registry import build_encoder
from cmarr.execution import worker_count
from cmarr.features.extract import extract
from cmarr.files import file_digest
from cmarr.modalities import LETTERS
from stages.paths import Paths, corpus_root, media_root
from stages.resume import unfinished
from stages.stage import run


def main(dataset: str, modality: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(modality)
    root = corpus_root(paths.settings("prepare")["root"])
    encoder = _encoder(dataset, modality, settings, root, paths.settings("run")["workers"])
    inputs = [settings, encoder.describe(), file_digest(paths.manifest)]
    with unfinished(f"extract-{dataset}-{modality}", inputs) as folder:
        summary = extract(
            resolved(read_manifest(paths.manifest), media_root(root)),
            encoder,
            paths.features / modality,
            shard_size=settings["shard_size"],
            max_rejected=settings["max_rejected"],
            resume=folder,
        )
    print(f"{dataset}: {summary}")
    if replaced := getattr(encoder, "replaced", None):
        print(f"  {sum(replaced.values())} infinite or NaN values of {len(replaced)} utterances count as 0")


def _encoder(dataset: str, modality: str, settings: dict[str, Any], root: Any, workers: str | int) -> Any:
    if settings["source"] == "corpus":
        return corpus_features(
            settings["kind"], root, LETTERS[modality], dataset=dataset, **settings["options"]
        )
    limits = {}
    if modality != "text":  # media are decoded in processes of their own, under a time limit
        limits = {"workers": worker_count(workers), "seconds": settings["time_limit"]}
    return build_encoder(settings["encoder"], **settings["settings"], **limits)


if __name__ == "__main__":
    run(main)
