"""Any method, with the pretrained encoders below it: fine-tuning end to end, by composition.

The stores hold what an encoder reads (samples, word pieces) where other trainings have its features; the encoders
turn one into the other, and the method never knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch, hide
from cmarr.encoders.trainable import Trainable
from cmarr.methods.protocol import (
    Calibrated,
    ClosedForm,
    Concluded,
    Diagnosed,
    Grounded,
    Method,
    Prediction,
    Recovers,
    Represents,
    Spread,
    Stage,
    Staged,
    Started,
    WarmedUp,
)


class FineTuned(nn.Module):
    """A method and the encoders that are trained with it. Obeys `cmarr.methods.protocol.Method`.

    encoders: modality -> network from its input to its features, of the width that the method was built for; a
              modality without one brings features
    lr:       learning rate of the encoders; 0 leaves them as they are

    What is hidden an encoder reads in training alone, and only where a loss of the method has it as its target.
    """

    def __init__(self, method: nn.Module, encoders: Mapping[str, Trainable], lr: float = 0.0):
        super().__init__()
        self.method = method
        self.encoders = nn.ModuleDict(encoders)
        self.lr = lr
        self.redraws_masks = 0

    @property
    def hidden_losses(self) -> tuple[str, ...]:
        """The method's."""
        own: tuple[str, ...] = getattr(self.method, "hidden_losses", ())
        return own

    @property
    def in_dialogues(self) -> bool:
        """Whether the method reads dialogues."""
        return bool(getattr(self.method, "in_dialogues", False))

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The method's losses on the encoders' features; what both batches hold is encoded once."""
        whole = self._features(targets)
        seen = whole if targets is batch else replace(hide(whole, batch.available), visible=batch.visible)
        return cast(Method, self.method).training_losses(seen, whole)

    def predict(self, batch: Batch) -> Prediction:
        """The method's predictions."""
        return cast(Method, self.method).predict(self._features(batch))

    def stages(self) -> Sequence[Stage]:
        """The method's stages, or the single one of a method that names none."""
        return self.method.stages() if isinstance(self.method, Staged) else [Stage("training")]

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """What the method wants watched."""
        if not isinstance(self.method, Diagnosed):
            return {}
        return self.method.diagnostics(self._features(batch))

    @torch.no_grad()
    def ground(self, train: Batch) -> None:
        """Told to a method that wants it, on the features of the encoders as they are before the first epoch."""
        if isinstance(self.method, Grounded):
            self.method.ground(self._features(train))

    @torch.no_grad()
    def conclude(self, train: Batch) -> None:
        """The same, on their features after the last epoch."""
        if isinstance(self.method, Concluded):
            self.method.conclude(self._features(train))

    def calibrate(self, validation: Batch) -> dict[str, float]:
        """The method's choice, or none."""
        return (
            self.method.calibrate(self._features(validation)) if isinstance(self.method, Calibrated) else {}
        )

    def calibrated(self, chosen: Mapping[str, float]) -> None:
        """Let the method take over the choice of another fit."""
        if isinstance(self.method, Calibrated):
            self.method.calibrated(chosen)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Told to a method that warms up."""
        if isinstance(self.method, WarmedUp):
            self.method.begin_epoch(epoch, epochs)

    def fused(self, batch: Batch) -> Tensor:
        """As `cmarr.methods.protocol.Represents`, of a method that has one vector."""
        return cast(Represents, self.method).fused(self._features(batch))

    def spreads(self, batch: Batch) -> dict[str, Tensor]:
        """As `cmarr.methods.protocol.Spread`; nothing of a method that does not know."""
        return self.method.spreads(self._features(batch)) if isinstance(self.method, Spread) else {}

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """As `cmarr.methods.protocol.Recovers`, of a method that has them."""
        return cast(Recovers, self.method).truths(self._features(batch))

    def start_from(self, first: Any) -> None:
        """Start the method from a first stage that was fine-tuned itself; its encoders are kept and not moved on.

        The first stage serves its method as a teacher, and both must read the same features.
        """
        cast(Started, self.method).start_from(first.method)
        self.encoders.load_state_dict(first.encoders.state_dict())
        self.encoders.requires_grad_(False)
        self.lr = 0.0

    def train(self, mode: bool = True) -> "FineTuned":
        """Encoders that do not learn drop nothing out."""
        super().train(mode)
        self.encoders.train(mode and self.lr > 0)
        return self

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """What the optimiser moves, at two learning rates: `lr` is the method's."""
        groups = [{"params": list(self.method.parameters()), "lr": lr}]
        learning = [p for p in self.encoders.parameters() if p.requires_grad]
        return [*groups, {"params": learning, "lr": self.lr}] if learning else groups

    def _features(self, batch: Batch) -> Batch:
        return encoded(batch, self.encoders)


class Encoded(nn.Module):
    """A method fitted in one step, on the features of the encoders as they were pretrained.

    Obeys `cmarr.methods.protocol.ClosedForm`.
    """

    def __init__(self, method: nn.Module, encoders: Mapping[str, Trainable]):
        super().__init__()
        self.method = method
        self.encoders = nn.ModuleDict(encoders).requires_grad_(False)

    @torch.no_grad()
    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit the method on the encoders' features."""
        self.encoders.eval()
        cast(ClosedForm, self.method).fit(encoded(train, self.encoders), generator)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """The method's predictions."""
        self.encoders.eval()
        return cast(ClosedForm, self.method).predict(encoded(batch, self.encoders))


class EncodedCalibrated(Encoded):
    """The same of a method that is `cmarr.methods.protocol.Calibrated`, and so is this."""

    @torch.no_grad()
    def calibrate(self, validation: Batch) -> dict[str, float]:
        """The method's choice, on the encoders' features."""
        return cast(Calibrated, self.method).calibrate(encoded(validation, self.encoders))

    def calibrated(self, chosen: Mapping[str, float]) -> None:
        """Let the method take over the choice of another fit."""
        cast(Calibrated, self.method).calibrated(chosen)


def encoded(batch: Batch, encoders: nn.ModuleDict) -> Batch:
    """The batch with the features of every modality that has an encoder in place of its inputs."""
    values, lengths = dict(batch.values), dict(batch.lengths)
    for modality, encoder in encoders.items():
        if modality in values:
            values[modality], lengths[modality] = encoder(values[modality], lengths[modality])
    return replace(batch, values=values, lengths=lengths, longest={}, present={})


def with_encoders(
    method: nn.Module, encoders: Mapping[str, Trainable], lr: float = 0.0
) -> FineTuned | Encoded:
    """A method with encoders below it: trained with it, or left as they are where it is fitted in one step."""
    if isinstance(method, ClosedForm):
        return (EncodedCalibrated if isinstance(method, Calibrated) else Encoded)(method, encoders)
    return FineTuned(method, encoders, lr)
