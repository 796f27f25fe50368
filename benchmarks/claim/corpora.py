"""The corpora of the claim: generated or at hand, read, extracted once for all methods, and cut into folds."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.corpora.demo.generate import generate
from cmarr.corpora.demo.reader import LABELS
from cmarr.corpora.labels import select_labels
from cmarr.corpora.manifest import read_manifest, relative_to, resolved, write_manifest
from cmarr.corpora.registry import corpus_features, read_corpus
from cmarr.encoders.registry import build_encoder
from cmarr.features.extract import extract
from cmarr.files import read_json, write_json
from cmarr.folds.files import write_folds
from cmarr.folds.split import split
from cmarr.modalities import LETTERS, NAMES
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from cmarr.settings.schema import Settings
from cmarr.task import Task


@dataclass(frozen=True)
class Corpus:
    """One corpus of the claim.

    dataset: a name under `datasets` in params.yaml
    options: of the generator, instead of those that stand there; none: the corpus as it is
    folds:   scheme, as `datasets.<name>.folds`, instead of the one that stands there
    tested:  numbers of the folds that are trained and tested; none: every one
    """

    name: str
    dataset: str
    options: tuple[tuple[str, int], ...] = ()
    folds: str = ""
    tested: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """Where what is computed from a corpus lies, and what its labels are."""

    corpus: Corpus
    folder: Path
    task: Task
    cluster: str

    @property
    def manifest(self) -> Path:
        """One row an utterance."""
        return self.folder / "manifest.parquet"

    @property
    def features(self) -> Path:
        """One folder of shards a modality."""
        return self.folder / "features"

    @property
    def folds(self) -> Path:
        """Which utterance plays which part in which fold."""
        return self.folder / "folds.parquet"


def settings_of(corpus: Corpus, methods: tuple[str, ...]) -> Settings:
    """params.yaml for a corpus and methods, the preset filled in."""
    found = load_settings("params.yaml", "presets", corpus.dataset)
    dataset = found.datasets[corpus.dataset]
    own = {"options": {**dataset.options, **dict(corpus.options)}, "folds": corpus.folds or dataset.folds}
    datasets = {**found.datasets, corpus.dataset: dataset.model_copy(update=own)}
    ablate = tuple(name for name in methods if name in found.ablations)
    varied = (found.ablations[name].method for name in ablate)
    trained = tuple(dict.fromkeys([*(name for name in methods if name not in ablate), *varied]))
    return found.model_copy(
        update={
            "datasets": datasets,
            "methods": trained,
            "ablate": ablate,
            "recovery": (),
            "clusters": (),
            "cross": (),
        }
    )


def prepared(corpus: Corpus, out: Path, workers: int) -> Prepared:
    """Make what is not there yet; a broken-off run goes on where it stopped."""
    files = resolve(settings_of(corpus, ("linear",)))
    folder, own = out / "corpora" / corpus.name, files["linear"]
    found = Prepared(corpus, folder, Task(tuple(own["classes"])), own["cluster"])
    described = {stage: files[stage] for stage in ("prepare", *NAMES.values(), "split")}
    described = json.loads(json.dumps(described))
    done = folder / "done.json"
    if done.is_file() and read_json(done) == described:
        return found
    media = folder / "media"
    if corpus.options and not (media / LABELS).is_file():
        generate(media, workers=workers, **files["corpus"]["options"])
    root = media if corpus.options else Path(files["prepare"]["root"]).resolve()
    _read(files["prepare"], root, found)
    for modality in NAMES.values():
        _extract(files[modality], root, found, modality, workers)
    how = files["split"]
    folds = split(read_manifest(found.manifest), how["folds"], how["n_folds"], classes=how["classes"])
    write_folds(found.folds, folds)
    write_json(done, described)
    shutil.rmtree(media, ignore_errors=True)  # nothing reads them again
    return found


def _read(settings: Mapping[str, Any], root: Path, found: Prepared) -> None:
    utterances, _ = read_corpus(settings["kind"], root, dataset=settings["dataset"], **settings["options"])
    kept, _ = select_labels(utterances, settings["classes"], settings["merge"])
    write_manifest(found.manifest, relative_to(kept, root if root.is_dir() else root.parent))


def _extract(settings: Mapping[str, Any], root: Path, found: Prepared, modality: str, workers: int) -> None:
    if settings["source"] == "corpus":
        of = found.corpus.dataset
        encoder = corpus_features(
            settings["kind"], root, LETTERS[modality], dataset=of, **settings["options"]
        )
    else:
        encoder = build_encoder(
            settings["encoder"],
            settings["settings"],
            workers=workers,
            seconds=settings["time_limit"],
            device="cpu",
            window=settings["shard_size"],
        )
    utterances = resolved(read_manifest(found.manifest), root if root.is_dir() else root.parent)
    extract(
        utterances,
        encoder,
        found.features / modality,
        shard_size=settings["shard_size"],
        max_rejected=settings["max_rejected"],
        label=f"{found.corpus.name}, {modality}",
    )
