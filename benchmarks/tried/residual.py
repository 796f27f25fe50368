"""`residual`: CM-ARR's network of `anchored`, trained on top of `gaussian`'s logits instead of pooled with them.

    logits = T gaussian(x) + share network(x)

The closed form is fitted first, on training speakers, and stays: its logits are added, fixed, to the network's in the
cross-entropy, so that the network learns what the Gaussian gets wrong. Its last layer begins at zero, so that training
begins at `gaussian`. Validation data choose the epoch by the sum, then the share as they choose `anchored`'s weight.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch, visibility
from cmarr.declaration import Flag, setting
from cmarr.methods.anchored import WEIGHTS, Anchored
from cmarr.methods.asking import predictions
from cmarr.methods.gaussian import Gaussian
from cmarr.methods.left_out import parts_of
from cmarr.methods.pooled import by_condition
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, MODALITIES
from cmarr.task import Task


class Beside(nn.Module):
    """A last layer that begins at zero, and to whose logits others are added while a loss is computed."""

    offset: Tensor | None = None

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        self.layer = layer

    def forward(self, h: Tensor) -> Tensor:
        """(B, d) -> (B, K)."""
        own: Tensor = self.layer(h)
        return own if self.offset is None else own + self.offset


class Residual(Anchored):
    """`Anchored` whose network learns on the closed form's logits."""

    class Settings(Anchored.Settings):
        """Those of `anchored`, and whose logits the network learns on."""

        left_out: Flag = setting(
            False,
            "true = in training an utterance has the logits of a Gaussian that has not learnt from its speaker",
        )

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__(dims, task, settings)
        self.gaussian = Gaussian(dims, task, Gaussian.Settings(shrink=settings.shrink))
        self.network.fusion.add_module("classify", Beside(self.network.fusion.classify))
        self.left_out = settings.left_out
        self.others: list[Gaussian] = []  # no submodules: of use in training alone
        self.part_of = torch.zeros(0, dtype=torch.int64)
        self.known: dict[str, dict[bytes, Tensor]] = {}

    def ground(self, train: Batch) -> None:
        """Fit the closed form on the training split; and, for each part of its speakers, on the others."""
        super().ground(train)
        self.gaussian.fit(train, torch.Generator())
        self.known = {m: {} for m in self.gaussian.features.modalities}
        z = self._columns(train)
        if not self.left_out:
            self.others, self.part_of = [self.gaussian], torch.zeros(1, dtype=torch.int64)
            return
        assert train.speakers is not None
        parts = parts_of(train)
        self.part_of = torch.zeros(int(train.speakers.max()) + 1, dtype=torch.int64)
        self.part_of[train.speakers] = parts
        for part in parts.unique(sorted=True):
            rows = parts != part
            without = copy.deepcopy(self.gaussian)
            without._learn(z[rows], train.available[rows], train.labels[rows])
            self.others.append(without)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The network's, its logits beside the closed form's."""
        beside = cast(Beside, self.network.fusion.classify)
        with torch.no_grad():
            offset = self._of_gaussian(batch)
        try:
            beside.offset = offset
            return self.network.training_losses(batch, targets)
        finally:
            beside.offset = None

    def conclude(self, train: Batch) -> None:
        """Fit the closed form again, on whatever is to be learnt from."""
        self.known = {}
        self.gaussian.fit(train, torch.Generator())

    @torch.no_grad()
    def calibrate(self, validation: Batch) -> dict[str, float]:
        """Choose the share of the network's logits: the mean of `WEIGHTS`, each as it is likely."""
        masks = {c: visibility(c, len(validation), validation.labels.device) for c in CONDITIONS}
        rows = torch.cat([(validation.available | ~own).all(1) for own in masks.values()])
        closed, network = (
            torch.cat([own.logits.double() for own in predictions(part, validation, masks).values()])[rows]
            for part in (self.gaussian, self.network)
        )
        truth = validation.labels.repeat(len(CONDITIONS))[rows]
        losses = torch.stack(
            [nn.functional.cross_entropy(closed + share * network, truth) for share in WEIGHTS]
        )
        likely = (-len(validation) * losses).softmax(0)
        self.weight.fill_(float(likely @ torch.tensor(WEIGHTS, dtype=likely.dtype)))
        return {"weight": float(self.weight), "gaussian_temperature": float(self.gaussian.temperature)}

    def calibrated(self, chosen: Mapping[str, float]) -> None:
        """Take over the share."""
        self.weight.fill_(chosen["weight"])

    def predict(self, batch: Batch) -> Prediction:
        """The sum; what the network recovers."""
        network = self.network.predict(batch)
        if self.known:  # while the network is trained
            closed = _logits(self.gaussian, self._columns(batch), batch.available)
        else:
            closed = self.gaussian.predict(batch).logits
        return replace(network, logits=closed + self.weight * network.logits)

    def _of_gaussian(self, batch: Batch) -> Tensor:
        own = torch.zeros(len(batch), dtype=torch.int64) if not self.left_out else self._parts(batch)
        z = self._columns(batch)
        every = torch.stack([_logits(one, z, batch.available) for one in self.others])  # (parts, B, K)
        out: Tensor = every[own, torch.arange(len(batch))]
        return out

    def _parts(self, batch: Batch) -> Tensor:
        assert batch.speakers is not None
        return self.part_of[batch.speakers]

    def _columns(self, batch: Batch) -> Tensor:
        """What the closed form reads of a batch (B, R), looked up where an utterance has been met before."""
        features = self.gaussian.features
        keys = {m: _keys(batch.values[m], batch.lengths[m]) for m in self.known}
        if any(key not in self.known[m] for m, own in keys.items() for key in own if key):
            found = features(batch)
            for m, own in keys.items():
                place = batch.sequence.get(m, torch.arange(len(batch))).tolist()
                there = batch.available[:, MODALITIES.index(m)].tolist()
                for row, sequence in enumerate(place):
                    if there[row]:
                        self.known[m][own[sequence]] = found[row, features.of(m)]
        z = torch.zeros(len(batch), sum(features.ranks.values()), dtype=torch.float64)
        for m, own in keys.items():
            none = torch.zeros(len(features.of(m)), dtype=torch.float64)
            z[:, features.of(m)] = batch.spread(m, torch.stack([self.known[m].get(key, none) for key in own]))
        return z


def _keys(frames: Tensor, lengths: Tensor) -> list[bytes]:
    """What tells each sequence from the others: its length and first frame; empty where it has none."""
    starts = (lengths.cumsum(0) - lengths).tolist()
    return [
        frames[start].numpy().tobytes() + bytes(str(length), "ascii") if length else b""
        for start, length in zip(starts, lengths.tolist(), strict=True)
    ]


def _logits(gaussian: Gaussian, z: Tensor, available: Tensor) -> Tensor:
    """Those of `Gaussian.predict`, from its columns (B, R), without what is recovered."""
    out = z.new_zeros(len(z), gaussian.task.outputs)
    for index, _, rows in by_condition(available):
        out[rows] = gaussian.temperature * gaussian._logits(z[rows], index)
    return out.float()


METHOD = Residual
