"""What an analysis is: the protocol that stages, page and tracking know, and nothing else of it.

A file of this folder ends with a line `ANALYSIS = Analysis(...)`, and `cmarr.analyses.every` names it in the order of
the page. Adding one edits these two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmarr.analyses.study import Study
from cmarr.evaluation.summary import summarise
from cmarr.masks.protocols import FIXED
from cmarr.report.page import Files, Section
from cmarr.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cmarr.analyses.models import MeasureModel


@dataclass(frozen=True)
class Evaluated:
    """What one method predicted for the test utterances of every fold and seed, and what is known of how.

    predictions: one frame a fold and seed, every protocol
    priors:      fold -> the class frequencies of its training split, or its score
    described:   what the mask sets say of themselves (`cmarr.masks.files.read_description`)
    shown:       the conditions that training showed the method; None where the protocol 'unseen' is not asked for
    realised:    protocol or kind of damage -> level -> the share that is missing, or wrong
    damaged:     the kinds of damage among the protocols
    """

    name: str
    task: Task
    predictions: Sequence[pd.DataFrame]
    priors: Mapping[int, Sequence[float]]
    described: Mapping[str, Any] = field(default_factory=dict)
    shown: Sequence[str] | None = None
    realised: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    damaged: Sequence[str] = ()

    @cached_property
    def frames(self) -> list[pd.DataFrame]:
        """Those of the fixed protocol, which every table is made of."""
        return [frame[frame["protocol"] == FIXED] for frame in self.predictions]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Their scores, see `cmarr.evaluation.summary.summarise`."""
        return summarise(self.frames, self.task)


def no_files(_: Any) -> dict[str, Any]:
    """Of an analysis that leaves none."""
    return {}


@dataclass(frozen=True)
class Run:
    """One method, or one training of it (a fold and a seed), as its run in MLflow shows it.

    predictions: of the fixed protocol, a frame a training
    curves:      learning curves, see `cmarr.analyses.study.Study`; empty of a single training
    """

    name: str
    task: Task
    predictions: Sequence[pd.DataFrame]
    curves: pd.DataFrame


@dataclass(frozen=True)
class Analysis:
    """One analysis.

    section:  study -> its part of the page and the files beside it; where nothing was measured, one sentence that says
              how to get it
    measure:  what it leaves beside the scores of each method, in metrics/<dataset>/<method>/
    model:    what it measures of each trained model; the rows and points go to predictions/<method>.<analysis>/
    nothing:  what to say of a dataset of which no model gave a row
    method:   what the run of one method in MLflow shows besides tables: name -> figure
    training: what the run of one training shows: name, with .csv or .svg, -> table or figure
    shared:   its figures show all methods side by side, so that every method's run in MLflow shows them
    """

    section: Callable[[Study], Section]
    measure: Callable[[Evaluated], Files] = no_files
    model: "MeasureModel | None" = None
    nothing: str = ""
    method: "Callable[[Run], Mapping[str, Figure]]" = no_files
    training: "Callable[[Run], Mapping[str, pd.DataFrame | Figure]]" = no_files
    shared: bool = False
