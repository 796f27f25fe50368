"""The corpora of the claim: generated or at hand, read, extracted once for all methods, and cut into folds."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from cmarr.corpora.demo.generate import generate
from cmarr.corpora.demo.reader import LABELS, READER
from cmarr.corpora.labels import select_labels
from cmarr.corpora.manifest import read_manifest, relative_to, write_manifest
from cmarr.corpora.registry import read_corpus
from cmarr.features.extract import extract
from cmarr.features.source import source_of
from cmarr.files import read_json, write_json
from cmarr.folds.files import write_folds
from cmarr.folds.split import split
from cmarr.modalities import NAMES
from cmarr.places import Places
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from cmarr.settings.schema import Settings
from cmarr.task import Task
from stages.paths import media_root


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


@dataclass(frozen=True, kw_only=True)
class Prepared(Places):
    """Where what is computed `of` a corpus lies, all in `root`, and what its labels are."""

    of: Corpus
    task: Task
    cluster: str

    @property
    def data(self) -> Path:
        """Everything computed."""
        return self.root


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
    task = Task(tuple(own["classes"]))
    found = Prepared(corpus.dataset, folder, of=corpus, task=task, cluster=own["cluster"])
    described = {stage: files[stage] for stage in ("prepare", *NAMES.values(), "split")}
    described = json.loads(json.dumps(described))
    done = folder / "done.json"
    if done.is_file() and read_json(done) == described:
        return found
    media = folder / "media"
    generated = bool(corpus.options) and files["prepare"]["kind"] == READER
    if generated and not (media / LABELS).is_file():
        generate(media, workers=workers, **files["corpus"]["options"])
    root = media if generated else Path(files["prepare"]["root"]).resolve()
    how = files["prepare"]
    utterances, _ = read_corpus(how["kind"], root, dataset=how["dataset"], **how["options"])
    kept, _ = select_labels(utterances, *(how[key] for key in ("classes", "merge", "unlabelled")))
    write_manifest(found.manifest, relative_to(kept, media_root(root)))
    for letter, modality in NAMES.items():
        own, of = files[modality], corpus.dataset
        build = source_of(letter, own, root, dataset=of, base=Path.cwd(), workers=workers, device="cpu")
        extract(
            read_manifest(found.manifest).below(media_root(root)),
            build(),
            found.features / modality,
            shard_size=own["shard_size"],
            max_rejected=own["max_rejected"],
            label=f"{corpus.name}, {modality}",
        )
    how = files["split"]
    folds = split(read_manifest(found.manifest), how["folds"], how["n_folds"], classes=how["classes"])
    write_folds(found.folds, folds)
    write_json(done, described)
    shutil.rmtree(media, ignore_errors=True)  # nothing reads them again
    return found
