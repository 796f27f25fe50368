"""A study: what every method of one dataset predicted, scored and compared; the one place that reads its files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from cmarr.corpora.expected import RANGES, Finding
from cmarr.corpora.headers import Header, is_media, read_headers
from cmarr.corpora.manifest import read_manifest, read_quarantine
from cmarr.evaluation.comparison import compare_all
from cmarr.evaluation.predictions import predictions_path, read_predictions
from cmarr.evaluation.summary import summarise
from cmarr.features.shards import load_features
from cmarr.folds.files import Fold, read_folds, read_rule
from cmarr.folds.hygiene import Corpus, hygiene
from cmarr.folds.privileges import MARK
from cmarr.masks.protocols import FIXED
from cmarr.media.clips import Failure
from cmarr.modalities import LETTERS, MODALITIES, NAMES
from cmarr.places import Places
from cmarr.seals import read_frame, read_json, read_listed_csv
from cmarr.task import Task
from cmarr.utterance import Utterance

_TRAIN, _EVALUATE = "train the method again", "evaluate the method again"
_MEASURE = "measure the models again"


@dataclass(frozen=True)
class Study:
    """Everything by method, in the order of the tables.

    frames:      predictions, one frame a fold and seed
    summaries:   `cmarr.evaluation.summary.summarise` of them
    comparisons: (method, other) -> their comparison, see `cmarr.evaluation.comparison.compare_all`
    costs:       the cost.json of training, the times of what a method starts from added to its own
    curves:      learning curves: fold, seed, epoch, name, value
    settings:    the report's, as resolved
    places:      where the rest is read from; media: where the recordings lie
    """

    dataset: str
    task: Task
    frames: Mapping[str, Sequence[pd.DataFrame]]
    summaries: Mapping[str, Mapping[str, Any]]
    comparisons: Mapping[tuple[str, str], Mapping[str, Any]]
    costs: Mapping[str, Mapping[str, Any]]
    curves: Mapping[str, pd.DataFrame]
    settings: Mapping[str, Any] = field(default_factory=dict)
    places: Places | None = None
    media: Path = Path()

    @property
    def meta(self) -> Mapping[str, Any]:
        """How many folds, seeds, clusters and utterances there are; the same for every method but for seeds."""
        return next(iter(self.summaries.values()))["meta"]  # type: ignore[no-any-return]

    @property
    def at(self) -> Places:
        """`places`, of a study that was read from files."""
        assert self.places is not None
        return self.places

    @property
    def plain(self) -> list[str]:
        """The plain rivals among the methods."""
        declared = self.settings.get("declared", {})
        return [name for name in self.summaries if declared.get(name, {}).get("plain")]

    @cached_property
    def folds(self) -> list[Fold]:
        """Who trains, chooses and tests."""
        return read_folds(self.at.folds)

    @cached_property
    def fold_rule(self) -> str:
        """How the folds were made, a sentence."""
        return read_rule(self.at.folds)

    @cached_property
    def headers(self) -> dict[str, Header | Failure]:
        """Path -> what the header of a recording says."""
        return read_headers(
            sorted({p for u in self.utterances for p in (u.audio, u.video) if p and is_media(p)})
        )

    @cached_property
    def doubts(self) -> list[Finding]:
        """What lets a model answer from something else than what is felt, see `cmarr.folds.hygiene`."""
        ranges = RANGES.get(self.settings["corpus"]["kind"], {})
        return hygiene(Corpus(self.utterances, self.folds, self.headers, ranges))

    @property
    def leakage(self) -> str:
        """How the folds were made, and the gravest doubts about what they keep apart."""
        warnings = [doubt.text for doubt in self.doubts if doubt.level == "warning"]
        return f"{self.fold_rule} But: {'; '.join(warnings)}." if warnings else self.fold_rule

    @cached_property
    def utterances(self) -> Sequence[Utterance]:
        """Those of the manifest."""
        return read_manifest(self.at.manifest).below(self.media)

    @cached_property
    def available(self) -> dict[str, Collection[str]]:
        """Modality -> the ids that have its features; empty of one that the corpus lacks."""
        tables = load_features(self.at.features)
        return {m: set(tables[m].ids) if m in tables else set() for m in MODALITIES}

    @cached_property
    def features(self) -> dict[str, str]:
        """Modality, in words, -> what its features are, of those that the corpus has."""
        there = load_features(self.at.features)
        return {m: name for m, name in self.settings["features"].items() if LETTERS[m] in there}

    @cached_property
    def rejected(self) -> pd.DataFrame:
        """What could not be used: id, modality, stage, reason."""
        parts = [self.at.features / name / "quarantine.parquet" for name in NAMES.values()]
        rows = [vars(r) for path in (self.at.quarantine, *parts) for r in read_quarantine(path)]
        return pd.DataFrame(rows, columns=["id", "modality", "stage", "reason"])

    @property
    def cluster(self) -> str:
        """What tables call the clusters: the recordings of MOSI and MOSEI are videos, not dialogues."""
        videos = self.settings["cluster"] == "dialogue" and self.settings["corpus"]["kind"] in ("mmsa", "cmu")
        return "video" if videos else str(self.settings["cluster"])

    @property
    def labels(self) -> dict[str, str]:
        """Ablation -> what tables call it."""
        return {a["name"]: a["label"] for a in self.settings["ablations"]}

    @property
    def privileged(self) -> set[str]:
        """The ablations that have privileges."""
        return {a["name"] for a in self.settings["ablations"] if "privileges" in a}

    def marked(self, name: str) -> str:
        """A method or ablation, with the mark of one that has privileges."""
        return f"{name} {MARK}" if name in self.privileged else name

    @property
    def changes(self) -> dict[str, str]:
        """Label of an ablation -> what it changes, in words."""
        return {
            a["label"]: f"{a['method']} with {', '.join(f'{k} = {v}' for k, v in a['set'].items())}"
            for a in self.settings["ablations"]
        }

    def predictions(
        self, name: str, protocol: str | None = FIXED, folder: Path | None = None
    ) -> list[pd.DataFrame]:
        """The predictions of a method or ablation, see `read_runs`; `folder`: of another corpus."""
        numbers = [fold.number for fold in self.folds]
        return read_runs(
            folder or self.at.data / "predictions", name, numbers, self.settings["seeds"], protocol
        )

    def evaluated(self, table: str) -> dict[str, pd.DataFrame]:
        """Method -> a table that evaluation left beside its scores, of those that have it."""
        files = {method: self.at.metrics / method / f"{table}.csv" for method in self.summaries}
        return {method: read_listed_csv(file, _EVALUATE) for method, file in files.items() if file.is_file()}

    def measured(self, analysis: str) -> tuple[dict[str, pd.DataFrame], pd.DataFrame | None]:
        """Label -> rows, of the models that an analysis was asked to look at; and all points, with a column name."""
        names = {self.labels.get(name, name): name for name in self.settings[analysis]}
        folders = {label: self.at.predictions(f"{name}.{analysis}") for label, name in names.items()}
        points = [
            read_frame(f / "points.parquet", _MEASURE).assign(name=label) for label, f in folders.items()
        ]
        rows = {label: read_frame(f / "measured.parquet", _MEASURE) for label, f in folders.items()}
        return rows, pd.concat(points) if points else None


def load_study(dataset: str, settings: Mapping[str, Any], places: Places, media: Path = Path()) -> Study:
    """Read a study as its settings name it; files that an earlier study left are not read.

    Raises UserError for predictions that are not there.
    """
    task, methods = Task(tuple(settings["classes"])), settings["methods"]
    folds = [fold.number for fold in read_folds(places.folds)]
    frames = {m: read_runs(places.data / "predictions", m, folds, settings["seeds"]) for m in methods}
    return Study(
        dataset=dataset,
        task=task,
        frames=frames,
        summaries={method: summarise(frames[method], task) for method in methods},
        comparisons=compare_all(frames, task, deterministic=deterministic(settings)),
        costs={method: read_cost(places.metrics / method) for method in methods},
        curves={
            method: read_listed_csv(places.metrics / method / "curves.csv", _TRAIN) for method in methods
        },
        settings=settings,
        places=places,
        media=media,
    )


def deterministic(settings: Mapping[str, Any]) -> list[str]:
    """The methods of a report that come out the same with every seed."""
    return [name for name in settings["methods"] if settings["declared"][name]["deterministic"]]


def read_cost(folder: Path) -> dict[str, Any]:
    """What the training of a method cost; a model that it starts from (pretrain.json) has to be trained, too."""
    cost, first = read_json(folder / "cost.json", _TRAIN), folder / "pretrain.json"
    if first.is_file():
        before = read_json(first, _TRAIN)
        cost = cost | {key: cost[key] + before[key] for key in ("seconds", "core_seconds")}
    return cost


def training_time(cost: Mapping[str, Any]) -> float:
    """What methods are compared by: core-seconds where a CPU trained, seconds where a GPU did."""
    on_cpu = all(training["device"] == "cpu" for training in cost["trainings"])
    return float(cost["core_seconds" if on_cpu else "seconds"])


def read_runs(
    predictions: str | Path,
    name: str,
    folds: Sequence[int],
    seeds: Sequence[int],
    protocol: str | None = FIXED,
) -> list[pd.DataFrame]:
    """The predictions of one method or ablation, one frame a fold and seed; raises UserError without them.

    They are those of one protocol, or of all (None).
    """
    folder = Path(predictions) / name
    return [
        read_predictions(predictions_path(folder, fold, seed), protocol) for fold in folds for seed in seeds
    ]
