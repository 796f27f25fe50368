"""Generate the demo corpus, or take stock of the raw corpus that is there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from cmarr.corpora.registry import corpus_inventory, read_corpus, reader_options
from cmarr.encoders import hashing, hog, logmel
from cmarr.encoders.registry import build_encoder
from cmarr.execution.local import worker_count
from cmarr.modalities import MODALITIES
from cmarr.seals import write_json
from cmarr.utterance import Rejected, Utterance
from stages.paths import Paths, cluster_of, corpus_root
from stages.resume import unfinished
from stages.stage import run

ENCODERS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "s": (logmel, {}),
    # at its usual rate it takes four times as long
    "v": (hog, {"rate": 2.5}),
    "t": (hashing, {}),
}
"""The weight-free encoders: the demo's fairness is measured with what anyone can run. Imported by name, or they would
not count as code of this stage."""


def main(dataset: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings("corpus")
    kind, options, root = settings["kind"], settings["options"], corpus_root(settings["root"])
    if kind == "demo":
        with unfinished(f"corpus-{dataset}", settings) as work:
            _generate(paths, settings, root, work)
    found = corpus_inventory(kind, root, dataset=dataset, **options)
    print(
        f"{dataset}: {found['files']} files, {found['bytes'] / 1e6:.1f} MB, fingerprint {found['fingerprint'][:12]}"
    )
    write_json(paths.corpus / "inventory.json", found)


def _generate(paths: Paths, settings: dict[str, Any], root: Path, work: Path) -> None:
    """The demo corpus, and how fair it is; a killed run goes on with the media it has left in `work`."""
    from cmarr.corpora.demo.generate import generate
    from cmarr.doctor.fairness import describe, face_rate, measure

    kind, options = settings["kind"], settings["options"]
    machine, wanted = paths.settings("run"), reader_options(kind, paths.dataset, options).model_dump()
    workers = worker_count(machine["workers"])
    generate(root, workers=workers, cluster=cluster_of(machine), work=work, **wanted)
    utterances, _ = read_corpus(kind, root, dataset=paths.dataset, **options)
    names = ", ".join(_name(encoder) for encoder, _ in ENCODERS.values())
    print(f"Measured through {names}, which need no weights:")
    features = _encoded(utterances, workers)
    with ThreadPoolExecutor(1) as beside:
        faces = beside.submit(face_rate, utterances, every=50)
        print(describe(replace(measure(utterances, features), face_rate=faces.result())))


def _name(encoder: ModuleType) -> str:
    return encoder.__name__.rpartition(".")[2]


def _encoded(utterances: list[Utterance], workers: int) -> dict[str, Any]:
    features = {}
    for modality in MODALITIES:
        having = [u for u in utterances if u.source(modality)]
        encoder, options = ENCODERS[modality]
        answers = build_encoder(_name(encoder), options, workers=workers).encode(having)
        features[modality] = [answer for answer in answers if not isinstance(answer, Rejected)]
    return features


if __name__ == "__main__":
    run(main)
