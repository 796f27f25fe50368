"""Extract the features of one modality into Parquet shards."""

from pathlib import Path
from typing import Any

from cmarr.corpora.manifest import read_manifest, resolved
from cmarr.corpora.registry import corpus_features
from cmarr.encoders.registry import build_encoder
from cmarr.encoders.seen_faces import see_faces, spread
from cmarr.execution import worker_count
from cmarr.features.extract import extract
from cmarr.features.faces_file import NAME, write_faces
from cmarr.files import file_digest
from cmarr.modalities import LETTERS
from stages.paths import Paths, corpus_root, found_files, media_root
from stages.resume import unfinished
from stages.stage import run

NETWORKS = ("wav2vec2", "bert", "denseface")
"""Encoders that run a network in this process, and therefore take a device."""


def main(dataset: str, modality: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(modality)
    root = corpus_root(paths.settings("prepare")["root"])
    encoder = encoder_of(dataset, modality, settings, root, paths.settings("run"))
    inputs = [settings, encoder.describe(), file_digest(paths.manifest)]
    utterances = resolved(read_manifest(paths.manifest), media_root(root))
    with unfinished(f"extract-{dataset}-{modality}", inputs) as folder:
        summary = extract(
            utterances,
            encoder,
            paths.features / modality,
            shard_size=settings["shard_size"],
            max_rejected=settings["max_rejected"],
            resume=folder,
        )
    if hasattr(encoder, "faces"):
        seen = see_faces(spread(utterances), encoder.faces.reader, encoder.workers, encoder.seconds)
        write_faces(paths.features / modality / NAME, seen)
    print(f"{dataset}: {summary}")
    if replaced := getattr(encoder, "replaced", None):
        print(f"  {sum(replaced.values())} infinite or NaN values of {len(replaced)} utterances count as 0")


def encoder_of(
    dataset: str, modality: str, settings: dict[str, Any], root: Path, machine: dict[str, Any]
) -> Any:
    """The encoder of a modality as its resolved settings name it; `machine` is what the machine allows."""
    if settings["source"] == "corpus":
        return corpus_features(
            settings["kind"], root, LETTERS[modality], dataset=dataset, **settings["options"]
        )
    name, own, limits = settings["encoder"], found_files(settings["settings"]), dict[str, Any]()
    workers = worker_count(machine["workers"])
    if modality != "text":  # media are decoded in processes of their own, under a time limit
        limits = {"workers": workers, "seconds": settings["time_limit"]}
    if name in NETWORKS:  # batches are made within shards, so that a resumed run makes the same ones
        limits |= {"workers": workers, "device": machine["device"], "window": settings["shard_size"]}
    return build_encoder(name, **own, **limits)


if __name__ == "__main__":
    run(main)
