"""A method trained on every fold of a corpus: what `cmarr.train` gives back."""

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmarr.analyses.learning import curves_figure
from cmarr.device import choose_device
from cmarr.errors import UserError, many, require_known
from cmarr.files import scratch
from cmarr.methods.registry import method_class
from cmarr.recognition.prediction import Prediction
from cmarr.recognition.pretrained import push
from cmarr.recognition.recognizer import Recognizer
from cmarr.recognition.trained import Trained, of_study
from cmarr.report.inline import Plot
from cmarr.seals import LIST, read_json, read_listed_csv, write_json, write_list
from cmarr.settings.load import NAME, merge
from cmarr.study.corpus import Corpus
from cmarr.study.settings import of_method, resolved
from cmarr.training.costs import write_curves
from cmarr.training.trainings import Trainings
from cmarr.utterance import real_numbers


@dataclass(frozen=True)
class TrainedMethod:
    """The models of a method, one a fold and seed, on the corpus that they were trained on.

    name:     under which it stands in tables, and its files in the corpus' folder
    settings: as resolved: those of the method, of the training loop, seeds, device
    outcomes: one a training: epochs, validation score, seconds, ...
    """

    name: str
    corpus: Corpus
    settings: Mapping[str, Any] = field(repr=False)
    outcomes: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def models(self) -> Path:
        """The folder of the weights."""
        return self.corpus.places.models(self.name)

    @property
    def device(self) -> str:
        """Where it predicts the corpus."""
        return choose_device(self.settings["device"])

    def trained(self, *, fold: int | None = None, seed: int | None = None, ensemble: bool = False) -> Trained:
        """The model with the best validation score, of a fold or seed if one is named; or all of them, averaged."""
        return of_study(
            self.corpus.name, self.name, root=self.corpus.root, fold=fold, seed=seed, ensemble=ensemble
        )

    @cached_property
    def recognizer(self) -> Recognizer:
        """The model with the best validation score, with its encoders."""
        return Recognizer(self.trained(), device=self.settings["device"], keep=False)

    def predict(self, clip: str | Path | None = None, **given: Any) -> Prediction:
        """Predict for one clip, or for features of one's own, see `Recognizer.predict`.

        model.predict("clip.mp4", text="I did not expect that")
        model.predict(features={"speech": vector})
        """
        features = {
            m: np.atleast_2d(real_numbers(values, "features"))  # one vector (D,) is a sequence of one frame
            for m, values in (given.pop("features", None) or {}).items()
        }
        return self.recognizer.predict(clip, features=features, **given)

    def save(self, folder: str | Path, *, force: bool = False, ensemble: bool = False) -> Path:
        """Write the best model, or the ensemble of all, into a folder of its own, which `Recognizer.load` reads.

        Raises UserError for a folder that holds something else.
        """
        from cmarr.recognition.export import export

        return export(self.trained(ensemble=ensemble), folder, force=force)

    def push_to_hub(self, repository: str, *, private: bool = False, token: str | None = None) -> str:
        """Put the best model on the hub as OWNER/NAME, see `Recognizer.push_to_hub`."""
        return push(self.trained(), repository, private=private, token=token)

    @property
    def curves(self) -> pd.DataFrame:
        """Learning curves: fold, seed, epoch, name, value."""
        return read_listed_csv(
            self.corpus.places.metrics / self.name / "curves.csv", "train the method again"
        )

    def plot(self) -> Plot:
        """The learning curves. Raises UserError for a method that is fitted in one step, which has none."""
        curves = self.curves
        if curves["epoch"].max() <= 1:
            raise UserError(f"{self.name} is fitted in one step and has no learning curve")
        score = "MAE" if self.corpus.task.regression else "UAR"
        return Plot(curves_figure(curves, title=f"Training of {self.name}", method=self.name, score=score))

    def __str__(self) -> str:
        scores = [outcome["best_score"] for outcome in self.outcomes]
        told = "minus the validation MAE" if self.corpus.task.regression else "validation UAR"
        seconds = sum(outcome["seconds"] for outcome in self.outcomes)
        counts = f"{many(len(self.corpus.folds), 'fold')}, {many(len(self.settings['seeds']), 'seed')}"
        return (
            f"{self.name} on {self.corpus.name}: {counts}; {told} {sum(scores) / len(scores):.3f} on average; "
            f"trained in {seconds:.1f} s"
        )

    __repr__ = __str__


def train(
    corpus: Corpus | Mapping[str, Any],
    method: str = "gaussian",
    *,
    name: str | None = None,
    seeds: Iterable[int] = (0,),
    preset: str | None = None,
    train: Mapping[str, Any] | None = None,
    by_speaker: bool = False,
    device: str = "auto",
    workers: int | str = "auto",
    **settings: Any,
) -> TrainedMethod:
    """Train a method on every fold of a corpus, with every seed: what the stages pretrain and train do.

    >>> model = train(corpus, "late")
    >>> model.predict(features={"speech": [1.0, 1.0]}).winner
    'tense'
    >>> train({"labels": labels, "speech": speech, "speakers": speakers}, "linear", C=1.0).name
    'linear'

        train(corpus, "cmarr", beta=0.5, d=32, train={"epochs": 20}, seeds=[0, 1, 2])

    corpus:   made by `load_corpus` or `Corpus.from_arrays`; or the keywords of the latter
    method:   one of `cmarr.method_names()`
    name:     what tables call it; by default the method, and `method-2` where that is another training already
    preset:   where values come from that nobody sets; by default the corpus'
    train:    keys of the section `train` of params.yaml, for gradient-trained methods
    by_speaker: `normalise: speaker`, the protocol that hears all clips of a speaker first (docs/encoders.md)
    settings: keys of the method's section, and of its objective (docs/settings.md)
    device, workers: where, and how many trainings side by side; they change no result
    Raises UserError for a method or a setting that does not exist, and for a training that diverges.
    """
    corpus = _corpus_of(corpus)
    _require_forms(name, seeds, train)
    over = merge(dict(corpus.settings), of_method(method, settings))
    chosen = {"methods": [method], "seeds": list(seeds), "device": device}
    over |= chosen | ({"normalise": "speaker"} if by_speaker else {})
    over = merge(over, ({"preset": preset} if preset else {}) | ({"train": dict(train)} if train else {}))
    files = resolved(over)
    own, first = files[method], files[f"pretrain/{method}"]
    if workers == "auto" and hasattr(method_class(method), "fit"):
        workers = 1  # done before another process has loaded its libraries
    name = name or _free(corpus, method, own)
    starts_from = None
    with scratch(corpus.root) as under_way:
        if own["starts_from"]:
            starts_from = corpus.places.pretrained(name)
            _trainings(corpus, f"pretrain-{name}", first, device, workers).run(
                under_way / "first", starts_from
            )
        trainings = _trainings(corpus, f"train-{name}", own, device, workers, starts_from)
        outcomes, _ = trainings.run(under_way / "own", corpus.places.models(name))
    write_json(corpus.places.settings_file(f"train/{name}"), own)
    curves = corpus.places.metrics / name / "curves.csv"
    write_curves(curves, outcomes)
    write_list(curves.with_name(f"{LIST}.train"), [curves])
    for old in (corpus.places.metrics / f"{name}.json", curves.with_name(f"{LIST}.evaluate")):
        old.unlink(missing_ok=True)  # scores of an earlier training under that name
    return TrainedMethod(name, corpus, own, outcomes)


def _corpus_of(given: Any) -> Corpus:
    """What `train` was given, as a corpus. Raises UserError for what is none."""
    if isinstance(given, Corpus):
        return given
    how = 'cmarr.train({"labels": labels, "speech": array, "speakers": names})'
    if not isinstance(given, Mapping):
        raise UserError(
            f"train: a {type(given).__name__} is no corpus; make one with cmarr.load_corpus or Corpus.from_arrays, or "
            f"name its arrays, as {how}"
        )
    known = list(inspect.signature(Corpus.from_arrays).parameters)
    if "labels" not in given:
        raise UserError(
            f"train: there are no labels among {', '.join(map(str, given))}; say what is what, as {how}"
        )
    for name in given:
        require_known(str(name), known, f"train: {name!r} is none of {', '.join(known)}")
    return Corpus.from_arrays(**given)


def _require_forms(name: Any, seeds: Any, train: Any) -> None:
    """Raise UserError for what is no name of a file, no list of numbers, no section of settings."""
    if name is not None and not (isinstance(name, str) and re.fullmatch(NAME, name)):
        raise UserError(f"name: {name!r} cannot name a training; take letters, digits, _ and -")
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
        raise UserError(f"seeds: must be a list of whole numbers, as [0, 1, 2], not {seeds!r}")
    if train is not None and not isinstance(train, Mapping):
        raise UserError(f'train: must be keys and values, as {{"epochs": 20}}, not {train!r}')


def _trainings(
    corpus: Corpus,
    label: str,
    settings: Mapping[str, Any],
    device: str,
    workers: int | str,
    starts_from: Path | None = None,
) -> Trainings:
    return Trainings(
        label=label,
        settings=settings,
        manifest=corpus.places.manifest,
        features=corpus.places.features,
        folds=corpus.places.folds,
        device=choose_device(device),
        workers=workers,
        starts_from=starts_from,
        finetune=settings.get("finetune", {}),
    )


def _free(corpus: Corpus, method: str, settings: Mapping[str, Any]) -> str:
    """The method's name, with a number behind it where another training has it."""
    for number in range(1, 1000):
        name = method if number == 1 else f"{method}-{number}"
        stored = corpus.places.settings_file(f"train/{name}")
        if not stored.is_file() or read_json(stored, "train the method again") == json.loads(
            json.dumps(settings)
        ):
            return name
    raise UserError(f"name: a thousand trainings of {method} have a name already; give this one a name")
