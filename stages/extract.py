"""Extract the features of one modality into Parquet shards."""

from pathlib import Path
from typing import Any

from cmarr.corpora.manifest import read_manifest
from cmarr.encoders.faces import see_faces, spread
from cmarr.encoders.registry import takes_device
from cmarr.execution.jobs import device_of
from cmarr.execution.local import worker_count
from cmarr.features.extract import Make, extract, on_cluster
from cmarr.features.source import source_of
from cmarr.files import file_digest
from cmarr.media.faces_file import NAME, write_faces
from cmarr.modalities import LETTERS
from stages.paths import Paths, cluster_of, corpus_root, media_root
from stages.resume import unfinished
from stages.stage import root as repository
from stages.stage import run


def main(dataset: str, modality: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings(f"extract/{modality}")
    root = corpus_root(paths.settings("prepare")["root"])
    machine = paths.settings("run")
    encoder = encoder_of(dataset, modality, settings, root, machine)
    inputs = [settings, encoder.describe(), file_digest(paths.manifest)]
    utterances = read_manifest(paths.manifest).below(media_root(root))
    sample = spread(utterances) if hasattr(encoder, "faces") else []
    if sample:
        encoder.faces.wanted = frozenset(utterance.id for utterance in sample)
    with unfinished(f"extract-{dataset}-{modality}", inputs) as folder:
        summary = extract(
            utterances,
            encoder,
            paths.features / modality,
            shard_size=settings["shard_size"],
            max_rejected=settings["max_rejected"],
            resume=folder,
            make=made_elsewhere(settings, machine),
        )
    if hasattr(encoder, "faces"):
        own = encoder.faces
        seen = see_faces(sample, own.reader, encoder.workers, encoder.seconds, own.found)
        write_faces(paths.features / modality / NAME, seen)
    print(f"{dataset}: {summary}")
    if replaced := getattr(encoder, "replaced", None):
        print(f"  {sum(replaced.values())} infinite or NaN values of {len(replaced)} utterances count as 0")


def encoder_of(
    dataset: str, modality: str, settings: dict[str, Any], root: Path, machine: dict[str, Any]
) -> Any:
    """The encoder of a modality as its resolved settings name it; `machine` is what the machine allows."""
    # on a cluster, this machine need not have the device
    device = machine["device"] if machine["executor"] == "local" else "cpu"
    workers = worker_count(machine["workers"])
    letter = LETTERS[modality]
    return source_of(
        letter, settings, root, dataset=dataset, base=repository(), workers=workers, device=device
    )()


def made_elsewhere(settings: dict[str, Any], machine: dict[str, Any]) -> Make | None:
    """How shards are made on a cluster; None: they are made here, as are those that a corpus brings along."""
    cluster = cluster_of(machine)
    if cluster is None or settings["source"] == "corpus":
        return None
    device = "cpu"
    if takes_device(settings["encoder"]):
        device = device_of(machine["device"], cluster)
    workers = 1 if cluster.cpus == "auto" else max(1, int(cluster.cpus))
    # of an encoder, which knows neither the corpus nor where it lies
    build = source_of("", settings, "", dataset="", base=repository(), workers=workers, device=device)
    return on_cluster(build, cluster, device)


if __name__ == "__main__":
    run(main)
