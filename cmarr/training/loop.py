"""The training loop: stages, masked batches, Adam, selection on validation data, early stopping, resume."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from cmarr.compilation import compiled
from cmarr.data.masks import draw_epoch
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.errors import UserError
from cmarr.methods.inference import answer
from cmarr.methods.protocol import Diagnosed, Method, Paced, Stage, Staged, WarmedUp
from cmarr.task import Task
from cmarr.training.checkpoint import Checkpoint
from cmarr.training.clock import Clock
from cmarr.training.optimisation import limit_gradients, rate
from cmarr.training.selection import met_conditions, selection_score, validation_scores

SAVE_EVERY = 2.0
"""Seconds of training, at least, between two saved states: all that a kill can cost, an epoch aside."""

DIAGNOSED_ROWS = 64
"""Validation utterances that diagnostics look at."""


Kept = tuple[int, list[float]]
"""Epochs, and validation scores, of a stage: what a training without validation data repeats."""


@dataclass
class Progress:
    """Where a training stands: all that is needed, with the weights, to go on.

    Epochs are counted over all stages, of which number `stage` began after `begin` of them; best_* are those
    of that stage. `kept` holds, of every finished stage, how many of its epochs led to the weights that were kept,
    and the validation scores of all of them.
    """

    stage: int = 0
    begin: int = 0
    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)
    curves: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    core_seconds: float = 0.0
    kept: list[Kept] = field(default_factory=list)


def fit(
    method: nn.Module,
    normaliser: Normaliser,
    train: Store,
    validation: Store | None,
    *,
    task: Task,
    seed: int,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int], None] = lambda epoch: None,
    again: Sequence[Kept] = (),
    **settings: Any,
) -> Progress:
    """Train `method` in place and leave it with the weights of the selected epoch.

    It receives training and validation data only: there is no way from here to a test utterance.
    A method that names `stages` goes through them in turn, and every one starts from what the one before
    it has selected; any other method has a single one.

    Args:
        method: obeys `cmarr.methods.protocol.Method`; already on the device of the stores.
        seed: seeds shuffling and masks; the global generator (dropout) is the caller's.
        checkpoint: where the state is kept; a state found there is continued, in whatever stage it is.
        on_epoch: called after every epoch with its number.
        again: without validation data, `Progress.kept` of the training that had some: each stage goes on for as many
            epochs as led to the weights kept there, with the same course of the learning rate.
        settings: the section `train` of params.yaml, see `_fit_stage`.

    Raises:
        UserError: a loss stops being finite; names the loss and the epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    stages = method.stages() if isinstance(method, Staged) else [Stage("training")]
    progress = Progress()
    state = checkpoint.load() if checkpoint else None
    if state:
        progress = _restore(state, method, generator)
    clock = Clock(progress.seconds, progress.core_seconds)
    while progress.stage < len(stages):
        stage = stages[progress.stage]
        own = settings | dict(stage.train)
        own["epochs"] = max(1, round(own["epochs"] * stage.share))
        _fit_stage(
            method,
            normaliser,
            train,
            validation,
            stage=stage,
            progress=progress,
            resumed=state["optimiser"] if state else None,
            task=task,
            generator=generator,
            checkpoint=checkpoint,
            clock=clock,
            on_epoch=on_epoch,
            again=again[progress.stage] if validation is None else None,
            **own,
        )
        state = None
        own_curves = progress.curves[progress.begin :]
        scores = [curve["validation/selection"] for curve in own_curves if "validation/selection" in curve]
        progress.kept.append((progress.best_epoch - progress.begin, scores))
        method.load_state_dict(progress.best_state)
        progress.stage, progress.begin = progress.stage + 1, progress.epoch
        if progress.stage < len(stages):
            progress.best_score, progress.best_epoch, progress.best_state = -math.inf, progress.epoch, {}
    return progress


def _fit_stage(
    method: nn.Module,
    normaliser: Normaliser,
    train: Store,
    validation: Store | None,
    *,
    stage: Stage,
    progress: Progress,
    resumed: dict[str, Any] | None,
    task: Task,
    generator: torch.Generator,
    checkpoint: Checkpoint | None,
    clock: Clock,
    on_epoch: Callable[[int], None],
    again: Kept | None,
    lr: float,
    batch_size: int,
    epochs: int,
    patience: int,
    weight_decay: float,
    clip: float,
    selection: str,
    masks: str,
    mask_conditions: str | Sequence[str],
    betas: tuple[float, float] = (0.9, 0.999),
    schedule: str = "constant",
    decay: float = 0.5,
    plateau: int = 5,
    clip_by: str = "whole",
    precision: str = "fp32",
    compile: bool = False,
) -> None:
    """Go on with one stage to its end; `progress` is kept up to date.

    Args:
        resumed: state of the optimiser of a stage that was interrupted.
        again: without validation data, the epochs to go and the scores that steer the learning rate.
        patience: epochs without a better score before stopping; 0 never stops.
        betas: of Adam.
        schedule, decay, plateau: the course of the learning rate; see `optimisation.rate`.
        clip, clip_by: the limit to the gradient; see `optimisation.limit_gradients`.
        precision: 'fp32', or 'bf16': the losses under autocast; weights, and what is answered, stay in fp32.
        compile: compile the computation of the losses.
    """
    groups = (
        method.parameter_groups(lr) if isinstance(method, Paced) else [{"params": list(method.parameters())}]
    )
    optimiser = torch.optim.Adam(groups, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
    rates = [group["lr"] for group in optimiser.param_groups]
    if resumed:
        optimiser.load_state_dict(resumed)
    conditions = met_conditions(validation.available) if validation is not None else []
    limit = epochs if again is None else again[0]
    batches = math.ceil(len(train) / batch_size)
    losses_of = cast(Method, method).training_losses
    if compile:
        losses_of = compiled(losses_of, "train.compile", dynamic=True)
    device = train.labels.device
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    saved = time.monotonic()

    while progress.epoch - progress.begin < limit and (again or not _exhausted(progress, patience, stage)):
        method.train()
        epoch = progress.epoch - progress.begin + 1
        if isinstance(method, WarmedUp):
            method.begin_epoch(epoch, epochs)
        if again is None:
            scores_before = [curve["validation/selection"] for curve in progress.curves[progress.begin :]]
        else:
            scores_before = again[1][: epoch - 1]
        factor = rate(schedule, epoch, epochs, decay=decay, plateau=plateau, scores=scores_before)
        for group, own in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = own * factor
        totals: dict[str, torch.Tensor] = {}
        order = torch.randperm(len(train), generator=generator)
        # Equal parts: a remainder of one utterance would be a batch without company.
        sizes = [len(rows) for rows in order.tensor_split(batches)]
        drawn = draw_epoch(train.available[order], sizes, generator, per=masks, conditions=mask_conditions)
        seen = drawn.to(device).split(sizes)
        for batch, visible in zip(train.batches(order, sizes), seen, strict=True):
            batch = normaliser(batch)
            with autocast:
                losses = losses_of(batch, visible)
            if stage.losses is not None:
                losses = {name: loss for name, loss in losses.items() if name in stage.losses}
            optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            norm = limit_gradients(method, clip, clip_by)
            optimiser.step()
            for name, value in {**losses, "gradient_norm": norm}.items():
                totals[name] = totals.get(name, 0) + value.detach() * len(batch)
        progress.epoch += 1
        # The only time an epoch's steps are waited for.
        sums = dict(zip(totals, torch.stack(list(totals.values())).tolist(), strict=True))
        curve = {f"loss/{name}": value / len(train) for name, value in sums.items()}
        _check_finite(curve, progress.epoch)
        better = epoch == limit  # of those that choose nothing, the last one is kept
        if validation is not None:
            scores = validation_scores(answer(method, normaliser, validation, conditions), validation, task)
            score = selection_score(scores, selection, task)
            curve |= {f"validation/{name}": value for name, value in scores.items()}
            curve["validation/selection"] = score
            if stage.selects:
                better = score > progress.best_score
            if better:
                progress.best_score = score
        curve |= diagnostics(method, normaliser, train if validation is None else validation)
        _check_finite(curve, progress.epoch)
        progress.curves.append(curve)
        if better:
            progress.best_epoch = progress.epoch
            progress.best_state = {k: v.detach().cpu().clone() for k, v in method.state_dict().items()}
        progress.seconds, progress.core_seconds = clock.seconds, clock.core_seconds
        if checkpoint and time.monotonic() - saved > SAVE_EVERY:
            checkpoint.save(_state(progress, method, optimiser, generator))
            saved = time.monotonic()
        on_epoch(progress.epoch)


@torch.no_grad()
def diagnostics(method: nn.Module, normaliser: Normaliser, watched: Store) -> dict[str, float]:
    """What the method itself wants watched, on the first utterances of a store.

    A diverging inverse of a flow shows here before it shows in a score.
    """
    if not isinstance(method, Diagnosed):
        return {}
    method.eval()
    rows = torch.arange(min(len(watched), DIAGNOSED_ROWS))
    found = method.diagnostics(normaliser(watched.batch(rows)))
    return {f"diagnostic/{name}": float(value) for name, value in found.items()}


def _exhausted(progress: Progress, patience: int, stage: Stage) -> bool:
    return bool(patience) and stage.selects and progress.epoch - progress.best_epoch >= patience


def _check_finite(curve: dict[str, float], epoch: int) -> None:
    for name, value in curve.items():
        if not math.isfinite(value):
            raise UserError(f"{name} is {value} in epoch {epoch}: training diverged; lower train.lr")


def _state(
    progress: Progress, method: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Any]:
    return {
        "progress": vars(progress),
        "method": method.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        "global_generator": torch.get_rng_state(),
        "cuda_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _restore(state: dict[str, Any], method: nn.Module, generator: torch.Generator) -> Progress:
    method.load_state_dict(state["method"])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["global_generator"])
    if state["cuda_generators"]:
        torch.cuda.set_rng_state_all(state["cuda_generators"])
    return Progress(**state["progress"])
