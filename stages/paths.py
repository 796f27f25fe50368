"""Where the files of a dataset lie: the one place that knows the layout of data/ and metrics/."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.errors import UserError
from cmarr.execution.ray import Cluster
from cmarr.seals import read_json
from stages.stage import located, work_folder


@dataclass(frozen=True)
class Paths:
    """Paths of one dataset, relative to the DVC repository (or an experiment's temporary copy of it)."""

    dataset: str

    @property
    def data(self) -> Path:
        """Everything computed."""
        return Path("data", self.dataset)

    @property
    def metrics(self) -> Path:
        """Everything a person reads."""
        return Path("metrics", self.dataset)

    @property
    def corpus(self) -> Path:
        """The inventory of the raw corpus; for the demo also its media."""
        return self.data / "corpus"

    @property
    def manifest(self) -> Path:
        """One row an utterance."""
        return self.data / "manifest.parquet"

    @property
    def quarantine(self) -> Path:
        """What `prepare` could not use, and why."""
        return self.data / "quarantine.parquet"

    @property
    def features(self) -> Path:
        """One folder of shards a modality."""
        return self.data / "features"

    @property
    def folds(self) -> Path:
        """Which utterance plays which part in which fold."""
        return self.data / "folds.parquet"

    @property
    def masks(self) -> Path:
        """What each protocol hides from the test utterances."""
        return self.data / "masks"

    def damaged(self, kind: str) -> Path:
        """The features of test utterances with one kind of damage: one folder of shards a level."""
        return self.data / "damaged" / kind

    def settings(self, name: str) -> dict[str, Any]:
        """The resolved settings of a `<stage>` or `<stage>/<item>`; as `code` the digest of the code it runs."""
        path = self.data / "settings" / f"{name}.json"
        if not path.is_file():
            raise UserError(
                f"{path} does not exist; run `dvc repro settings`, with {name} among what params.yaml runs"
            )
        return read_json(path, "run `dvc repro settings`")

    def models(self, method: str) -> Path:
        """Weights, curves and costs, one pair of files a fold and seed."""
        return self.data / "models" / method

    def pretrained(self, method: str) -> Path:
        """Weights of the models that a method starts from, one file a fold and seed."""
        return self.data / "pretrained" / method

    def predictions(self, method: str) -> Path:
        """Predictions, one file a fold and seed."""
        return self.data / "predictions" / method


def cluster_of(machine: Mapping[str, Any]) -> Cluster | None:
    """Where units of work run, as the settings `run` say: on a cluster, or, with None, in processes of this machine."""
    if machine["executor"] == "local":
        return None
    shared = work_folder("cluster")
    shared.mkdir(parents=True, exist_ok=True)
    return Cluster(**machine["ray"], shared=shared)


def corpus_root(setting: str) -> Path:
    """Where a corpus lies, absolute: `datasets.<name>.root`, if relative then to params.yaml."""
    return located(setting)


def media_root(root: Path) -> Path:
    """The folder that a manifest's paths are relative to: the corpus', or that of a corpus which is one file."""
    return root if root.is_dir() else root.parent
