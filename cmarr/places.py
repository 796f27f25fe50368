"""Where the files of a dataset lie: the one place that knows the layout of data/ and metrics/."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Paths of one dataset below `root`, the folder of params.yaml.

    >>> str(Places("demo").models("cmarr"))
    'data/demo/models/cmarr'
    """

    dataset: str
    root: Path = Path()

    @property
    def data(self) -> Path:
        """Everything computed."""
        return self.root / "data" / self.dataset

    @property
    def metrics(self) -> Path:
        """Everything a person reads."""
        return self.root / "metrics" / self.dataset

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
        """What could not be used, and why."""
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

    def damaged(self, kind: str = "") -> Path:
        """The features of test utterances with one kind of damage, or of all: one folder of shards a level."""
        return self.data / "damaged" / kind

    def settings_file(self, name: str) -> Path:
        """The resolved settings of a `<stage>` or `<stage>/<item>`."""
        return self.data / "settings" / f"{name}.json"

    def models(self, method: str) -> Path:
        """Weights, curves and costs, one pair of files a fold and seed."""
        return self.data / "models" / method

    def pretrained(self, method: str) -> Path:
        """Weights of the models that a method starts from, one file a fold and seed."""
        return self.data / "pretrained" / method

    def predictions(self, method: str) -> Path:
        """Predictions, one file a fold and seed."""
        return self.data / "predictions" / method
