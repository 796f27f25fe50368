"""Small random batches, and methods made ready for them: the fixture `small`."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.masks import draw_visible
from cmarr.methods.asking import training_losses
from cmarr.methods.protocol import ClosedForm, Concluded, Grounded
from cmarr.methods.registry import build_method, method_class
from cmarr.modalities import MODALITIES
from cmarr.task import Task

torch.set_num_threads(1)  # on matrices this small a second thread only waits for the first

DIMS = {"s": 6, "v": 5, "t": 7}
CLASSES = Task(("angry", "happy", "neutral"))
SMALL = {"d": 8, "length": 4, "heads": 2}
"""Sizes, where a method declares them under these names; what else makes a method of ours small, by its name."""

SETTINGS = {
    "cmarr": {"flow_steps": 2, "blocks": 1},
    "anchored": {"length": "statistics", "flow_steps": 2, "blocks": 1, "weight": 0.5},
    "gbdt": {"rounds": 10, "leaves": 4, "smallest_leaf": 3},
    "cra": {"d": 32},
    "mmin": {"d": 32, "blocks": 2},
    "if_mmin": {"d": 32, "blocks": 2},
    "cif_mmin": {"d": 32, "blocks": 2},
    "dicmor": {"flow_steps": 2, "blocks": 1, "depth": 1},
    "mcur": {"d": 16, "latents": 2, "heads": 2, "depth": 1},
    "cmad": {"d": 16, "latents": 2, "heads": 2, "depth": 1},
    "momke": {"depth": 1},
    "imder": {
        **{
            "depth": 1,
            "blocks": 1,
            "channels": 4,
            "levels": 2,
            "score_heads": 2,
            "steps": 3,
            "training_steps": 1,
        },
        "score_weight": 0.001,
    },
    "gcnet": {"d": 16, "graph": 8, "hidden": 32},
    "primd": {"d": 16, "memory": 8, "ranks": 3},
    "cyin": {"hidden": 64, "bottleneck": 16, "blocks": 1, "translation_weight": 0.5},
}
FIRST = {
    "mmin": {"d": 32},
    "if_mmin": {"d": 32},
    "cif_mmin": {"d": 32},
    "dicmor": {"depth": 1},
    "mcur": {"d": 16, "latents": 2, "heads": 2, "depth": 1},
    "cmad": {"d": 16, "latents": 2, "heads": 2, "depth": 1},
    "primd": {"d": 16, "memory": 8, "ranks": 3},
    "imder": {"depth": 1},
}


def make_batch(
    rows: int = 10,
    seed: int = 0,
    absent: float = 0.2,
    dims: Mapping[str, int] = DIMS,
    regression: bool = False,
    longest: int = 6,
) -> Batch:
    """Random sequences of 1 to `longest` frames; each modality is absent with probability `absent`."""
    generator = torch.Generator().manual_seed(seed)
    available = torch.rand(rows, 3, generator=generator) >= absent
    values, lengths = {}, {}
    for i, m in enumerate(MODALITIES):
        count = torch.randint(1, longest + 1, (rows,), generator=generator)
        noise = torch.randn(rows, longest, dims.get(m, 1), generator=generator)
        if m not in dims:
            available[:, i] = False
            lengths[m] = torch.zeros(rows, dtype=torch.long)
            continue
        lengths[m] = count * available[:, i]
        values[m] = noise[torch.arange(longest) < lengths[m][:, None]]
    scores = torch.randn(rows, generator=generator)
    labels = scores if regression else torch.randint(3, (rows,), generator=generator)
    return Batch(values, lengths, available, labels)


def take(batch: Batch, rows: Tensor) -> Batch:
    """The utterances `rows` (indices) of a batch, in that order."""
    values = {}
    for m, frames in batch.values.items():
        parts = frames.split(batch.lengths[m].tolist())
        values[m] = torch.cat([parts[int(r)] for r in rows])
    lengths = {m: n[rows] for m, n in batch.lengths.items()}
    return Batch(values, lengths, batch.available[rows], batch.labels[rows])


def with_noise(batch: Batch, modality: str, seed: int = 99) -> Batch:
    """The same batch, the features of one modality replaced by large noise."""
    if modality not in batch.values:
        return batch
    generator = torch.Generator().manual_seed(seed)
    noise = 50 * torch.randn(batch.values[modality].shape, generator=generator)
    return Batch({**batch.values, modality: noise}, batch.lengths, batch.available, batch.labels)


def poisoned(batch: Batch, visible: Tensor) -> Batch:
    """The same batch, NaN and infinity in every frame that is hidden."""
    values = {}
    for m, frames in batch.values.items():
        hidden = torch.repeat_interleave(~visible[:, MODALITIES.index(m)], batch.lengths[m])
        values[m] = frames.clone()
        values[m][hidden] = torch.nan
        values[m][hidden, 0] = torch.inf
    return replace(batch, values=values)


def without(batch: Batch, modality: str) -> Batch:
    """The same batch, one modality absent from every utterance."""
    available = batch.available.clone()
    available[:, MODALITIES.index(modality)] = False
    values = {**batch.values, modality: batch.values[modality][:0]}
    lengths = {**batch.lengths, modality: torch.zeros_like(batch.lengths[modality])}
    return Batch(values, lengths, available, batch.labels)


def masks(batch: Batch, seed: int = 0) -> Tensor:
    """A random condition for each utterance, as in training: (B, 3)."""
    return draw_visible(batch.available, torch.Generator().manual_seed(seed))


def sizes(name: str, first_stage: bool = False) -> dict[str, Any]:
    """What makes a method, or the model it starts from, small."""
    declared = method_class(name, first_stage=first_stage).Settings.model_fields
    own = (FIRST if first_stage else SETTINGS).get(name, {})
    return {key: value for key, value in SMALL.items() if key in declared} | own


def still(name: str) -> dict[str, Any]:
    """What keeps a method from dropping anything out, where it does."""
    return {"dropout": 0.0} if "dropout" in method_class(name).Settings.model_fields else {}


def make_method(
    name: str,
    dims: Mapping[str, int] = DIMS,
    task: Task = CLASSES,
    training: Batch | None = None,
    **settings,
) -> nn.Module:
    """A small method, ready to train; one that is solved in closed form is fitted on `training` already."""
    torch.manual_seed(0)
    method = build_method(name, dims, task, sizes(name) | settings)
    if hasattr(method_class(name), "first_stage"):
        method.start_from(make_first_stage(name, dims, task))
    training = training or make_batch(60, seed=5, dims=dims, regression=task.regression)
    if isinstance(method, ClosedForm):
        method.fit(training, torch.Generator())
    if isinstance(method, Grounded):
        method.ground(training)
    if isinstance(method, Concluded):
        method.conclude(training)
    return method


def make_first_stage(
    name: str, dims: Mapping[str, int] = DIMS, task: Task = CLASSES, **settings
) -> nn.Module:
    """The model, not trained yet, that a method starts from."""
    return build_method(name, dims, task, sizes(name, first_stage=True) | settings, first_stage=True)


def train(method: nn.Module, batch: Batch, visible: Tensor, steps: int, lr: float = 3e-3) -> list[float]:
    """A few steps of Adam on one batch with fixed masks; the summed loss before each step."""
    optimiser = torch.optim.Adam(method.parameters(), lr=lr)
    history = []
    method.train()
    for _ in range(steps):
        loss = torch.stack(list(training_losses(method, batch, visible).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    return history


@pytest.fixture(scope="session")
def small() -> SimpleNamespace:
    """`small.batch()`, `small.method("cmarr")` and what one does with them."""
    return SimpleNamespace(
        dims=DIMS,
        sizes=sizes,
        still=still,
        classes=CLASSES,
        scores=Task(),
        batch=make_batch,
        method=make_method,
        first_stage=make_first_stage,
        take=take,
        with_noise=with_noise,
        poisoned=poisoned,
        without=without,
        masks=masks,
        train=train,
    )
