"""What training, evaluation and the report know of a method: this protocol and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch


@dataclass(frozen=True)
class Prediction:
    """What a method predicts for a batch.

    logits:      (B, K) class logits, or (B, 1) the predicted score
    recovered:   modality -> (B, L, d) recovered representation, meaningful in `recovered_rows`
    recovered_rows: modality -> (B,) bool, the rows in which that modality was recovered
    uncertainty: (B,) in [0, 1]; None lets evaluation use the normalised entropy of the class probabilities
    """

    logits: Tensor
    recovered: Mapping[str, Tensor] = field(default_factory=dict)
    recovered_rows: Mapping[str, Tensor] = field(default_factory=dict)
    uncertainty: Tensor | None = None


class Idle(NamedTuple):
    """A switch of a method that does nothing beside its others: its `key`, `why`, and what could be typed `instead`."""

    key: str
    why: str
    instead: str


@runtime_checkable
class Method(Protocol):
    """A `torch.nn.Module` that trains on batches with something hidden and predicts for any.

    Its class `Settings`, a `cmarr.declaration.Section`, declares its settings. The constructor takes `dims` (modality
    -> feature width; a modality absent from the whole corpus is absent here), `task`, and an object of that class.

    What else generic code asks of the class, where it is there:
        first_stage:        the class of the model, trained on complete data, that the method starts from
        first_stage_takes:  names of the settings that this model has from the method
        starts(settings):   whether it starts from that model, set as it is; without it, always
        privileges:         what its authors allowed themselves and nobody is allowed here, of `cmarr.folds.privileges`;
                            one with `sampled_answers` among them has `samples_answers`, False, which is set; one
                            with `redrawn_masks` has `redraws_masks`, 0, which is set to 1 and counts the draws
        published_training: keys of `train` as the authors have them, for the method or its first stage
        objective:          names of settings that stand at the top of params.yaml: weights of the objective, in the
                            order in which the name of a run gives them
        plain:              True of a plain rival, which the others have to beat to have earned their parts
        deterministic:      True of a method that comes out the same with every seed, so that one speaks for all
        parts:              label in the table of ablations -> the method that is a part of this one alone
        published_ablations: the paper's table of its ablations, a name of `cmarr.report.published.ABLATIONS`
        Settings.idle():    an `Idle` for each switch that would do nothing, set as they are

        in_dialogues:       True of a method that reads the other utterances of a dialogue (`Batch.dialogues`); where
                            its settings decide, of the object alone, and reads_dialogues(settings) says it of the class
        hidden_losses:      names of the losses that look at what is hidden; without it, none

    A method never sees what is hidden: `cmarr.methods.asking` takes it away before, and to a method a hidden modality
    is one that is not there. What `batch.available` says may be used. A prediction must not depend on padding, nor
    on the rest of the batch, whose utterances may share sequences (`Batch.spread`); one `in_dialogues`, on no other
    dialogue: it is given whole ones, and what is hidden of the utterances around one is hidden by the same draw. A row
    with nothing available must not produce NaN; its prediction is replaced by the training prior.
    """

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """Named scalar losses, already weighted: training minimises their sum; each is logged by name.

        targets: the same utterances with nothing hidden, for a method that has `hidden_losses`; `batch` for any other.
        """
        ...

    def predict(self, batch: Batch) -> Prediction:
        """The prediction for each utterance from what is there of it."""
        ...


@runtime_checkable
class Diagnosed(Protocol):
    """A method that has more to watch in training than its losses."""

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalars about the model on `batch`, of which nothing is hidden; logged once an epoch."""
        ...


@runtime_checkable
class Spread(Protocol):
    """A method that knows how sure it is of each modality by itself."""

    def spreads(self, batch: Batch) -> dict[str, Tensor]:
        """Modality -> (B,), positive, larger where it is less sure; rubbish where the modality is not available.

        Empty where the method, set as it is, does not know.
        """
        ...


@runtime_checkable
class Acquainted(Protocol):
    """A method that knows how unlike its training data an utterance is."""

    def unlikeness(self, batch: Batch) -> Tensor:
        """(B,): the share of utterances of other speakers that lie nearer to the training data under the same
        condition; 1: none was as far. NaN where that is not known."""
        ...


@runtime_checkable
class Started(Protocol):
    """A method that starts from a model trained on complete data (its class attribute `first_stage`).

    That model obeys the same protocol, is trained by the same loop, and is an output of its own.
    """

    def start_from(self, first: Any) -> None:
        """Take over what is to be taken over from the trained model, and keep it if it serves as a teacher.

        Called before the training and before a training that was killed goes on; never for a prediction.
        """
        ...


@runtime_checkable
class Paced(Protocol):
    """A method of which parts learn at a rate of their own."""

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """What the optimiser moves: groups of `params` and their `lr`; the argument is that of the settings."""
        ...


@dataclass(frozen=True)
class Stage:
    """A part of a training: for `share` of the epochs, the named losses alone are minimised.

    name:    under which errors speak of it
    share:   of all epochs, above 0; the shares of a method's stages add up to 1
    losses:  the names that count; None: all
    train:   keywords of the section `train` that are different in this stage (lr, schedule, masks, clip, ...)
    selects: keep the epoch with the best validation score; False: the last one, where nothing predicts yet
    """

    name: str
    share: float = 1.0
    losses: tuple[str, ...] | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    selects: bool = True


@runtime_checkable
class Staged(Protocol):
    """A method that is trained in stages, one after the other, each with an optimiser of its own."""

    def stages(self) -> Sequence[Stage]:
        """The stages in their order; at least one."""
        ...


@runtime_checkable
class Grounded(Protocol):
    """A method, trained by gradient descent, of which a part is set from the training split as a whole."""

    def ground(self, train: Batch) -> None:
        """Set it, without randomness, before the first epoch; and again before a training goes on that was killed."""
        ...


@runtime_checkable
class Concluded(Protocol):
    """A method, trained by gradient descent, with a part beside the network that is fitted in one step."""

    def conclude(self, train: Batch) -> None:
        """Fit it on the whole training split, without randomness, when the last epoch is over."""
        ...


@runtime_checkable
class WarmedUp(Protocol):
    """A method that does something else in its first epochs (a warm-up) than later."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before every epoch of a stage, counted from 1, of `epochs` at most; never for a prediction."""
        ...


@runtime_checkable
class Represents(Protocol):
    """A method that has one vector an utterance which its prediction is read from."""

    def fused(self, batch: Batch) -> Tensor:
        """The vectors (B, d), under the same rules as a prediction."""
        ...


@runtime_checkable
class Recovers(Protocol):
    """A method whose recovered representations can be compared with true ones."""

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """The true representations, modality -> (B, L, d), zero where it is not available."""
        ...


@runtime_checkable
class ClosedForm(Protocol):
    """A method that is fitted in one step, by its own solver, instead of by gradient descent."""

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit on the whole training split at once; `generator` is the only source of randomness."""
        ...

    def predict(self, batch: Batch) -> Prediction:
        """As for `Method`."""
        ...


T = TypeVar("T", bound=nn.Module)


class Frozen(Generic[T]):
    """A stage-1 model that its method looks things up in, and never trains.

    Not a module on purpose: the frozen weights are neither among the method's parameters nor saved with
    it; they are an output of their own.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self._model: T | None = None

    def keep(self, model: T) -> None:
        """Freeze `model`, in evaluation mode, and keep it."""
        self._model = model.eval().requires_grad_(False)

    @property
    def model(self) -> T:
        """The frozen model. Raises RuntimeError before `keep`: training needs it, predicting does not."""
        if self._model is None:
            raise RuntimeError(f"{self.method} trains from a stage-1 model: call start_from first")
        return self._model


@runtime_checkable
class Calibrated(Protocol):
    """A method that chooses a few numbers on validation data: how sure it is, or how much a part of it counts."""

    def calibrate(self, validation: Batch) -> dict[str, float]:
        """Choose, after `fit` or `conclude`; returns the choice by name."""
        ...

    def calibrated(self, chosen: Mapping[str, float]) -> None:
        """Take over the choice of another fit: when it is fitted again on training and validation data."""
        ...


@runtime_checkable
class SizedByData(Protocol):
    """A module, of a method, of which the data decide how large it is, and not its settings alone."""

    def sizes_from(self, stored: Mapping[str, Any], prefix: str) -> None:
        """Make room for the tensors of a file, those whose names begin with `prefix`; their number of axes is fixed."""
        ...

    def sizes_agree(self) -> bool:
        """Whether what `sizes_from` has made fits together: a file may be damaged."""
        ...
