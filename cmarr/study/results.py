"""What trained methods predict for utterances that they have not seen, scored and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from cmarr.analyses.results import results_figure, results_frame, results_text
from cmarr.errors import UserError
from cmarr.evaluation.comparison import compare_all
from cmarr.evaluation.predicting import runs
from cmarr.evaluation.predictions import NORMALISE, normalised_by
from cmarr.evaluation.scores import chosen_metric
from cmarr.evaluation.summary import long_table, summarise
from cmarr.files import write_json
from cmarr.report.differences import differences
from cmarr.report.inline import Plot, shown
from cmarr.report.notes import describe_normalisation
from cmarr.seals import LIST, write_list
from cmarr.study.corpus import Corpus
from cmarr.study.model import TrainedMethod


@dataclass(frozen=True)
class Results:
    """Predictions and scores of methods on the test utterances of every fold, under the seven conditions.

    frames:    method -> predictions, one frame a fold and seed: id, fold, seed, condition, label, p_<class>, ...
    summaries: method -> metric -> condition -> mean, std, lo, hi, n; see `cmarr.evaluation.summary.summarise`
    """

    corpus: Corpus
    frames: Mapping[str, Sequence[pd.DataFrame]] = field(repr=False)
    summaries: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @property
    def rule(self) -> str:
        """How the folds were made, and by what the features were standardised where that is a protocol of its own."""
        by = normalised_by(next(iter(self.frames.values())))
        return self.corpus.rule + describe_normalisation({NORMALISE: by}).replace("**", "")

    @property
    def table(self) -> pd.DataFrame:
        """A row a condition, a column a method: WAR / UAR in %, ± the deviation over folds."""
        return results_frame(self.summaries, self.corpus.task, bold=False)

    @property
    def scores(self) -> pd.DataFrame:
        """Every number: method, metric, condition, mean, std, lo, hi, n; shares as fractions."""
        return pd.concat(
            [long_table(own, method=name) for name, own in self.summaries.items()], ignore_index=True
        )

    @property
    def predictions(self) -> pd.DataFrame:
        """Every prediction, with its `method`."""
        parts = [frame.assign(method=name) for name, frames in self.frames.items() for frame in frames]
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def comparisons(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Every pair of methods, paired by utterance; see `cmarr.evaluation.comparison.compare_all`."""
        return compare_all(self.frames, self.corpus.task)

    def plot(self, metric: str | None = None) -> Plot:
        """Dots with 95 % intervals, one a condition and method. Raises UserError for a metric that does not exist."""
        metric = chosen_metric(metric, self.corpus.task)
        title = f"{metric} by available modalities, {self.corpus.name}"
        drawn = results_figure(
            self.summaries, self.corpus.task, metric=metric, title=title, cluster=self.corpus.cluster
        )
        return Plot(drawn)

    def __str__(self) -> str:
        text = results_text(
            self.summaries, self.corpus.task, title=self.corpus.name, cluster=self.corpus.cluster
        )
        return f"{text}{self.rule}\n"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return shown(self.table, str(self).partition("\n\n")[0], self.rule)


@dataclass(frozen=True)
class Comparison:
    """One method minus another, paired by utterance: a row a condition.

    table: None where all predictions are the same; about: what its numbers are
    """

    title: str
    table: pd.DataFrame | None = field(repr=False)
    about: str = field(repr=False)

    def __str__(self) -> str:
        rows = "" if self.table is None else f"\n\n{self.table.to_string(index=False)}"
        return f"{self.title}\n{self.about}{rows}\n"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return shown(self.table, self.title, self.about)


def evaluate(*models: TrainedMethod) -> Results:
    """Predict the test utterances of every fold under the seven conditions, and score: what the stage evaluate does.

    >>> results = evaluate(model)
    >>> results.table["late"][1]  # WAR / UAR from speech
    '100.00 ± 0.00 / 100.00 ± 0.00'

    The scores go into the corpus' folder, too, so that a model that is saved later tells them on its card.
    Raises UserError for models of different corpora, or of one name, and where only some are `by_speaker`.
    """
    if not models:
        raise UserError("evaluate: name one model or more, as cmarr.train gives them")
    for model in models:
        if not isinstance(model, TrainedMethod):
            raise UserError(
                f"a {type(model).__name__} is no trained method; cmarr.train(corpus, ...) gives one"
            )
    corpus = models[0].corpus
    frames: dict[str, list[pd.DataFrame]] = {}
    summaries = {}
    for model in models:
        if model.corpus is not corpus and model.corpus.places != corpus.places:
            raise UserError(
                f"evaluate: {model.name} was trained on {model.corpus.name}, not on {corpus.name}"
            )
        if model.name in frames:
            raise UserError(
                f"evaluate: two models are called {model.name}; train one of them with another name="
            )
        frames[model.name] = predictions_of(model)
        if normalised_by(frames[model.name]) != normalised_by(frames[models[0].name]):
            raise UserError(
                f"evaluate: {model.name} and {models[0].name} belong into two tables: the features of one are "
                "normalised by speaker, from unlabelled clips of the speakers that it is tested on; evaluate them apart"
            )
        summaries[model.name] = summarise(frames[model.name], corpus.task)
        scores = corpus.places.metrics / f"{model.name}.json"
        write_json(scores, summaries[model.name])
        write_list(corpus.places.metrics / model.name / f"{LIST}.evaluate", [scores])
    return Results(corpus, frames, summaries)


def predictions_of(model: TrainedMethod) -> list[pd.DataFrame]:
    """The predictions of every fold and seed for the fold's test utterances, one frame each."""
    found = runs(
        model.models,
        model.corpus.places.manifest,
        model.corpus.tables,
        model.corpus.folds,
        model.settings["seeds"],
        task=model.corpus.task,
        cluster=model.corpus.cluster,
        masks={},
        device=model.device,
    )
    frames = []
    for one in found:
        frames.append(pd.concat(one.parts, ignore_index=True))
        frames[-1].attrs[NORMALISE] = one.model.normaliser.how
    return frames


def compare(
    first: TrainedMethod | Results, second: TrainedMethod | Results | None = None, metric: str | None = None
) -> Comparison:
    """How two methods differ, condition by condition: paired intervals and tests, as `cmarr compare` prints.

    >>> found = compare(model, train(corpus, "linear"))
    >>> found.title
    'arrays: late - linear'
    >>> list(found.table.columns)[:3]
    ['available', 'late', 'linear']

    Takes models, or the results of one method each, or the results of two. metric: UAR, WAR, WF1; of scores MAE,
    Corr, ... Raises UserError where the two did not predict the same utterances, and for a metric that does not exist.
    """
    one = first if isinstance(first, Results) else evaluate(first)
    if second is None:
        if len(one.frames) != 2:
            raise UserError(f"compare: {', '.join(one.frames)}, where two methods are due; name another one")
        (name, own), (other, theirs) = one.frames.items()
    else:
        (name, own) = _only(one)
        (other, theirs) = _only(second if isinstance(second, Results) else evaluate(second))
    if name == other:
        name, other = f"{name} (first)", f"{other} (second)"
    table, about = differences((name, other), own, theirs, metric)
    return Comparison(f"{one.corpus.name}: {name} - {other}", table, about)


def _only(results: Results) -> tuple[str, Sequence[pd.DataFrame]]:
    if len(results.frames) != 1:
        raise UserError(
            f"compare: these are the results of {', '.join(results.frames)}; compare two models, or the results of one "
            "each. `results.comparisons` has all pairs"
        )
    return next(iter(results.frames.items()))
