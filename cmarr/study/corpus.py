"""A corpus made ready for training: manifest, features and folds in one folder, as the pipeline lays them out."""

import atexit
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from cmarr.budgets import expanded
from cmarr.corpora.labels import select_labels
from cmarr.corpora.manifest import read_manifest, relative_to, write_manifest, write_quarantine
from cmarr.corpora.registry import read_corpus
from cmarr.encoders.registry import build_encoder
from cmarr.errors import UserError, did_you_mean, many
from cmarr.execution.local import worker_count
from cmarr.features.extract import extract
from cmarr.features.shards import FeatureTable, load_features, shard_path, write_shard
from cmarr.features.source import source_of
from cmarr.folds.files import Fold, read_folds, read_rule, write_folds
from cmarr.folds.hygiene import require_balanced_speakers
from cmarr.folds.split import describe_rule, split
from cmarr.modalities import LETTERS, NAMES
from cmarr.places import Places
from cmarr.seals import read_json, write_json
from cmarr.settings.load import merge, read_yaml
from cmarr.study.arrays import about_labels, are_scores, column, features_of, utterances_of
from cmarr.study.settings import PARAMS, resolved
from cmarr.task import Task
from cmarr.utterance import Utterance

OWN = "own"
"""The dataset of params.yaml that a table of one's own clips is read as."""


@dataclass(frozen=True)
class Corpus:
    """Utterances with their features and folds, in `root`/data/`name`/; made by `load_corpus` or `from_arrays`.

    settings: what was laid over cmarr's params.yaml to make it
    notes:    what is worth telling of it: what was left out, what could not be read
    """

    name: str
    root: Path
    settings: Mapping[str, Any] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def from_arrays(
        cls,
        labels: Any,
        *,
        speech: Any = None,
        video: Any = None,
        text: Any = None,
        speakers: Any = None,
        sessions: Any = None,
        splits: Any = None,
        ids: Any = None,
        encoders: Mapping[str, Mapping[str, Any]] | None = None,
        name: str = "arrays",
        n_folds: int = 5,
        folder: str | Path | None = None,
    ) -> Self:
        """Features of one's own as a corpus.

        >>> labels = ["calm", "tense"] * 30
        >>> speech = [[float(label == "tense"), 1.0] for label in labels]
        >>> speakers = [f"speaker {i // 6}" for i in range(60)]
        >>> corpus = Corpus.from_arrays(labels, speech=speech, speakers=speakers)
        >>> print(corpus)
        arrays: 60 utterances (calm 30, tense 30); with speech 60
        5 folds grouped by speaker (10 speakers), the next group validates; no speaker on two sides.

        Lists, NumPy, pandas and PyTorch will do; of pandas the order counts, and the index does not.

        labels:   N class names; or N numbers, whose regression is the task
        speech, video, text: (N, D) array or table, one vector an utterance, NaN throughout where it is absent; or N
                  entries, each (T, D) frames, a vector (D,), or None
        speakers: who says it; folds keep speakers apart. Or `sessions`, one of which is left out at a time; or
                  `splits`, of 'train', 'valid' and 'test', which make one fold
        encoders: modality -> name and settings of the encoder that made its features, as {"name": "logmel", "settings":
                  {}}: the model then takes clips, too
        n_folds:  of speakers; the other rules take it from the data
        folder:   where it is kept; None: a temporary folder, which goes when Python ends

        Raises UserError for lengths or widths that do not agree, for what is missing within an entry, and for what
        folds need and is not there.
        """
        labels = column(labels, "labels")
        regression = are_scores(labels)
        notes = about_labels(labels, regression)
        columns = {"speaker": speakers, "session": sessions, "split": splits, "id": ids}
        utterances, people = utterances_of(labels, columns, regression)
        folds = "official" if splits is not None else "session" if sessions is not None else "speaker"
        section = _section(labels, regression, folds, _folds_of(n_folds, people))
        corpus = cls(name, _folder(folder), {"dataset": name, "datasets": {name: section}}, notes)
        files = resolved(corpus.settings)
        given = {"speech": speech, "video": video, "text": text}
        if all(arrays is None for arrays in given.values()):
            raise UserError("speech, video, text: none of them is given; give features of one at least")
        write_manifest(corpus.places.manifest, utterances)
        own = [u.id for u in utterances]
        for modality, arrays in given.items():
            if arrays is not None:
                _write_arrays(corpus, modality, own, arrays, _encoders_of(encoders or {}).get(modality, {}))
        corpus._fold(utterances, files["split"])
        return corpus

    @cached_property
    def places(self) -> Places:
        """Where everything lies."""
        return Places(self.name, self.root)

    @cached_property
    def folds(self) -> list[Fold]:
        """Who trains, who chooses, who tests."""
        return read_folds(self.places.folds)

    @cached_property
    def rule(self) -> str:
        """How the folds were made, a sentence."""
        return read_rule(self.places.folds)

    @cached_property
    def utterances(self) -> Sequence[Utterance]:
        """All of them, in the order of the manifest."""
        return read_manifest(self.places.manifest)

    @cached_property
    def tables(self) -> dict[str, FeatureTable]:
        """Letter -> features, of the modalities that there are."""
        return load_features(self.places.features)

    @cached_property
    def task(self) -> Task:
        """Classes, or the regression of a score."""
        return Task(tuple(self._section["classes"]))

    @cached_property
    def cluster(self) -> str:
        """What is drawn anew for an interval: 'speaker' or 'dialogue'."""
        return "dialogue" if self._section["folds"] == "official" else "speaker"

    @cached_property
    def _section(self) -> dict[str, Any]:
        return read_json(self.places.settings_file("dataset"), "make the corpus again")

    def __len__(self) -> int:
        return len(self.utterances)

    def __str__(self) -> str:
        labels = Counter(u.label for u in self.utterances)
        told = "scores" if self.task.regression else ", ".join(f"{c} {labels[c]}" for c in self.task.classes)
        there = ", ".join(f"{NAMES[m]} {len(table.ids)}" for m, table in self.tables.items())
        lines = [
            f"{self.name}: {many(len(self), 'utterance')} ({told}); with {there}",
            self.rule,
            *self.notes,
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _fold(self, utterances: Sequence[Utterance], settings: Mapping[str, Any]) -> None:
        """Cut the folds, and note what the corpus was made with."""
        require_balanced_speakers(settings.get("normalise", "corpus"), utterances)
        folds = split(utterances, settings["folds"], settings["n_folds"], classes=settings["classes"])
        write_folds(self.places.folds, folds, describe_rule(utterances, folds, settings["folds"]))
        write_json(self.places.settings_file("dataset"), dict(settings))


def load_corpus(
    corpus: str | Path,
    root: str | Path | None = None,
    *,
    preset: str | None = None,
    encoders: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    workers: int | str = "auto",
    device: str = "auto",
) -> Corpus:
    """Read a corpus, extract its features, cut its folds: what the stages prepare, extract and split do.

        load_corpus("clips.csv")
        load_corpus("ravdess", "/data/RAVDESS", encoders={"speech": "wav2vec2"})

    corpus:   a dataset of params.yaml (ravdess, iemocap, meld, mosi, ...; demo, which is generated); or the table of
              one's own clips (docs/corpora.md)
    root:     where a dataset lies, if not where params.yaml says
    preset:   instead of the dataset's: which encoders, which sizes
    encoders: as the section of params.yaml: {"speech": "logmel", "logmel": {"bands": 40}}
    dataset:  keys of the dataset's section: {"classes": ["angry", "calm"], "folds": "session", "n_folds": 5}
    folder:   where it is kept: what was extracted there is not extracted again. None: a temporary folder, which goes
              when Python ends
    workers, device: processes that decode, and where encoders run; they change no result

    Raises UserError for a corpus that is not there, or in which nothing can be used, and for settings that cannot be.
    """
    place = _folder(folder)
    settings = _settings(corpus, root, place, preset, encoders, dataset)
    name = str(settings["dataset"])
    files = resolved(settings)
    prepare, notes = files["prepare"], list[str]()
    source = expanded(prepare["root"]).absolute()
    count = worker_count(workers)
    if prepare["kind"] == "demo" and not source.is_dir():
        _generate(source, count, prepare["options"])
    utterances, rejected = read_corpus(prepare["kind"], source, dataset=name, **prepare["options"])
    kept, selection = select_labels(utterances, prepare["classes"], prepare["merge"], prepare["unlabelled"])
    made = Corpus(name, place, settings)
    media = source if source.is_dir() else source.parent
    write_quarantine(made.places.quarantine, rejected)
    write_manifest(made.places.manifest, relative_to(kept, media))
    if selection.dropped or selection.unlabelled:
        notes.append(str(selection))
    notes += [f"not read: {r.id}: {r.reason}" for r in rejected[:3]]
    for modality in NAMES.values():
        letter, own = LETTERS[modality], files[modality]
        build = source_of(letter, own, source, dataset=name, base=Path.cwd(), workers=count, device=device)
        summary = extract(
            kept,
            build(),
            made.places.features / modality,
            shard_size=own["shard_size"],
            max_rejected=own["max_rejected"],
        )
        notes += str(summary).splitlines()[1:]
        write_json(made.places.settings_file(f"extract/{modality}"), own)
    made._fold(kept, files["split"])
    return Corpus(name, place, settings, tuple(notes))


def _generate(folder: Path, workers: int, options: Mapping[str, Any]) -> None:
    from cmarr.corpora.demo.generate import generate  # needs the extra `media`, which other corpora may not

    generate(folder, workers=workers, **options)


def _settings(
    corpus: str | Path,
    root: str | Path | None,
    place: Path,
    preset: str | None,
    encoders: Mapping[str, Any] | None,
    dataset: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What is laid over params.yaml."""
    known = read_yaml(PARAMS)["datasets"]
    name = str(corpus)
    if name not in known:
        if root is not None or not expanded(corpus).exists():
            raise UserError(
                f"{corpus} is neither a table of clips that is there nor one of {', '.join(known)}; "
                f"name a .csv or .parquet file, or one of these and its root{did_you_mean(name, known)}"
            )
        name, root = OWN, corpus
    section = dict(dataset or {})
    if root is not None:
        section["root"] = str(expanded(root).absolute())
    elif known[name]["kind"] == "demo":
        section["root"] = str(Places(name, place).corpus)
    over: dict[str, Any] = {"dataset": name, "datasets": {name: section}, "methods": ["linear"]}
    if preset is not None:
        over["preset"] = preset
    return merge(over, {"encoders": dict(encoders)} if encoders else {})


def _section(labels: Sequence[Any], regression: bool, folds: str, n_folds: int) -> dict[str, Any]:
    """What params.yaml would say of a corpus that comes as arrays."""
    return {
        "kind": "manifest",
        "root": ".",
        "preset": "frozen",
        "task": "regression" if regression else "classification",
        "classes": [] if regression else sorted({str(label) for label in labels}),
        "merge": {},
        "features": "corpus",
        "folds": folds,
        "n_folds": n_folds,
        "options": {},
    }


def _folds_of(n_folds: Any, people: int) -> int:
    """As many as there are people, at most. Raises UserError for what is no number."""
    if isinstance(n_folds, bool) or not isinstance(n_folds, int):
        raise UserError(f"n_folds: must be a whole number, not {n_folds!r}")
    return min(n_folds, people) or 1


def _encoders_of(given: Any) -> dict[str, dict[str, Any]]:
    """Modality -> name and settings of its encoder. Raises UserError for another modality, or another form."""
    example = '{"speech": {"name": "logmel", "settings": {}}}'
    if not isinstance(given, Mapping):
        raise UserError(f"encoders: must be as {example}, not {given!r}")
    found = {m: {"name": own} if isinstance(own, str) else own for m, own in given.items()}
    for modality, own in found.items():
        if modality not in LETTERS:
            near = did_you_mean(modality, LETTERS)
            raise UserError(f"encoders: {modality!r} is none of {', '.join(LETTERS)}{near}")
        if not isinstance(own, Mapping) or not {"name"} <= own.keys() <= {"name", "settings"}:
            raise UserError(f"encoders.{modality}: must be as in {example}, not {own!r}")
    return {modality: dict(own) for modality, own in found.items()}


def _write_arrays(
    corpus: Corpus, modality: str, ids: Sequence[str], arrays: Any, encoder: Mapping[str, Any]
) -> None:
    """One shard of the features of a modality, and what made them."""
    sequences = features_of(ids, arrays, modality)
    about: dict[str, Any] = {"source": "corpus"}
    made = {"encoder": "arrays"}
    if encoder:
        name, settings = encoder["name"], dict(encoder.get("settings", {}))
        made = build_encoder(name, settings).describe()
        about = {"source": "encoder", "encoder": name, "settings": settings}
    write_json(corpus.places.settings_file(f"extract/{modality}"), about)
    shard = shard_path(corpus.places.features / modality, 0)
    write_shard(shard, sequences, {**made, "modality": LETTERS[modality]})


def _folder(folder: str | Path | None) -> Path:
    """Where a study is kept."""
    if folder is not None:
        return expanded(folder).absolute()
    temporary = tempfile.TemporaryDirectory(prefix="cmarr-study-")
    atexit.register(temporary.cleanup)
    return Path(temporary.name)
