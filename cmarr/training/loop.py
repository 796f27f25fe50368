"""The training loop: stages, masked batches, Adam, selection on validation data, early stopping, resume."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.dialogues import shuffled
from cmarr.data.masks import draw_epoch
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.device import compiled
from cmarr.errors import UserError
from cmarr.methods.asking import in_dialogues, looks_at_hidden
from cmarr.methods.finetuned import FineTuned
from cmarr.methods.inference import split_logits
from cmarr.methods.protocol import Diagnosed, Method, Paced, Stage, Staged, WarmedUp
from cmarr.task import Task
from cmarr.training.precision import in_bf16, what_pays
from cmarr.training.progress import Checkpoint, Clock, Kept, Progress, restored, state_of
from cmarr.training.selection import met_conditions, selection_score, validation_scores
from cmarr.training.settings import Precision, Train

SAVE_EVERY = 2.0
"""Seconds of training, at least, between two saved states: all that a kill can cost, an epoch aside."""

DIAGNOSED_ROWS = 64
"""Validation utterances that diagnostics look at."""


@dataclass(frozen=True)
class Trained:
    """What is trained, and on what. `generator` draws the order of the utterances and the masks."""

    method: nn.Module
    normaliser: Normaliser
    train: Store
    validation: Store | None
    task: Task
    generator: torch.Generator


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
        settings: of `cmarr.training.settings.Train`; those left out are as declared there.

    Raises:
        UserError: a loss stops being finite; names the loss and the epoch.
    """
    trained = Trained(method, normaliser, train, validation, task, torch.Generator().manual_seed(seed))
    stages = method.stages() if isinstance(method, Staged) else [Stage("training")]
    state = checkpoint.load() if checkpoint else None
    progress = restored(state, method, trained.generator) if state else Progress()
    clock = Clock(progress.seconds, progress.core_seconds)
    while progress.stage < len(stages):
        stage = stages[progress.stage]
        own = Train(**(settings | dict(stage.train)))
        own = own.model_copy(update={"epochs": max(1, round(own.epochs * stage.share))})
        loop = StageLoop(trained, stage, own, again[progress.stage] if validation is None else None)
        if state:
            loop.optimiser.load_state_dict(state["optimiser"])
            state = None
        if own.precision == "auto" and progress.precision is None:
            progress.precision = loop.measured()
            if checkpoint:  # what goes on after a kill does not measure again
                checkpoint.save(state_of(progress, method, loop.optimiser, trained.generator))
        saved = time.monotonic()
        with loop.rounded(progress.precision):
            while loop.goes_on(progress):
                loop.run_epoch(progress)
                progress.seconds, progress.core_seconds = clock.seconds, clock.core_seconds
                if checkpoint and time.monotonic() - saved > SAVE_EVERY:
                    checkpoint.save(state_of(progress, method, loop.optimiser, trained.generator))
                    saved = time.monotonic()
                on_epoch(progress.epoch)
        progress.end_stage(method, last=progress.stage + 1 == len(stages))
    return progress


class StageLoop:
    """One stage of a training, epoch by epoch; what has come of them is kept in a `Progress`.

    again: without validation data, the epochs to go and the scores that steer the learning rate.
    """

    def __init__(self, trained: Trained, stage: Stage, settings: Train, again: Kept | None):
        self.trained, self.stage, self.settings, self.again = trained, stage, settings, again
        method, lr = trained.method, settings.lr
        whole = [{"params": list(method.parameters())}]
        self.optimiser = torch.optim.Adam(
            method.parameter_groups(lr) if isinstance(method, Paced) else whole,
            lr=lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.limit = settings.epochs if again is None else again[0]
        self.losses_of = cast(Method, method).training_losses
        if settings.compile:
            self.losses_of = compiled(self.losses_of, "train.compile", dynamic=True)
        device = trained.train.labels.device.type
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bf16")

    def measured(self) -> Precision:
        """What `auto` comes to on this machine, for this method."""
        self._begin(1, [])
        batches = self._batches(torch.Generator().manual_seed(0))
        return what_pays(self.trained.method, *next(batches)) or "fp32"

    def rounded(self, measured: Precision | None) -> AbstractContextManager[None]:
        """Inside, a step has the parts in bf16 that the settings name; where they say `auto`, those `measured`."""
        parts = measured if self.settings.precision == "auto" else self.settings.precision
        return in_bf16(self.trained.method, parts if isinstance(parts, list | tuple) else ())

    def goes_on(self, progress: Progress) -> bool:
        """Whether there is another epoch: the limit is not reached, nor patience at its end."""
        if progress.epoch - progress.begin >= self.limit:
            return False
        if self.again or not self.settings.patience or not self.stage.selects:
            return True
        return progress.epoch - progress.best_epoch < self.settings.patience

    def run_epoch(self, progress: Progress) -> None:
        """Train for one epoch, score it, and note what came of it in `progress`."""
        method = self.trained.method
        epoch = progress.epoch - progress.begin + 1
        self._begin(epoch, progress.scores if self.again is None else self.again[1][: epoch - 1])
        curve = self._steps()
        progress.epoch += 1
        _check_finite(curve, progress.epoch)
        better = epoch == self.limit  # of those that choose nothing, the last one is kept
        validation = self.trained.validation
        if validation is not None:
            curve |= self._validated(validation)
            last = [*progress.scores, curve["validation/selection"]][-self.settings.selection_epochs :]
            score = sum(last) / len(last)
            if self.stage.selects:
                better = score > progress.best_score
            if better:
                progress.best_score = score
        watched = self.trained.train if validation is None else validation
        curve |= diagnostics(method, self.trained.normaliser, watched)
        _check_finite(curve, progress.epoch)
        progress.curves.append(curve)
        if better:
            progress.best_epoch = progress.epoch
            progress.best_state = {k: v.detach().cpu().clone() for k, v in method.state_dict().items()}

    def _begin(self, epoch: int, scores: Sequence[float]) -> None:
        """Tell the method, and set the learning rate; `scores` are those of the epochs before."""
        method, own = self.trained.method, self.settings
        method.train()
        if isinstance(method, WarmedUp):
            method.begin_epoch(epoch, own.epochs)
        factor = rate(own.schedule, epoch, own.epochs, decay=own.decay, plateau=own.plateau, scores=scores)
        for group, lr in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = lr * factor

    def _steps(self) -> dict[str, float]:
        """Go through the training split once; each loss, and the gradient's norm, averaged over its utterances."""
        totals: dict[str, Tensor] = {}
        for batch, targets in self._batches(self.trained.generator):
            for name, value in self._step(batch, targets).items():
                totals[name] = totals.get(name, 0) + value.detach() * len(batch)
        # The only time an epoch's steps are waited for.
        sums = dict(zip(totals, torch.stack(list(totals.values())).tolist(), strict=True))
        return {f"loss/{name}": value / len(self.trained.train) for name, value in sums.items()}

    def _batches(self, generator: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Those of an epoch, in the order and with the masks that `generator` draws, and their targets."""
        own, train, normaliser = self.settings, self.trained.train, self.trained.normaliser
        if train.dialogues is not None and in_dialogues(self.trained.method):
            order, sizes = shuffled(train.dialogues, own.batch_size, generator)
        else:
            order = torch.randperm(len(train), generator=generator)
            # Equal parts: a remainder of one utterance would be a batch without company.
            sizes = [len(rows) for rows in order.tensor_split(math.ceil(len(train) / own.batch_size))]
        drawn = draw_epoch(
            train.available[order], sizes, generator, per=own.masks, conditions=own.mask_conditions
        )
        seen = map(normaliser, train.batches(order, sizes, drawn))
        if looks_at_hidden(self.trained.method):
            return zip(seen, map(normaliser, train.batches(order, sizes)), strict=True)
        return ((batch, batch) for batch in seen)

    def _step(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """One step of the optimiser; the losses that count in this stage, and the gradient's norm."""
        with self.autocast:
            losses = self.losses_of(batch, targets)
        if self.stage.losses is not None:
            losses = {name: loss for name, loss in losses.items() if name in self.stage.losses}
        self.optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        norm = limit_gradients(self.trained.method, self.settings.clip, self.settings.clip_by)
        self.optimiser.step()
        return {**losses, "gradient_norm": norm}

    def _validated(self, validation: Store) -> dict[str, float]:
        trained, rule = self.trained, self.settings.selection
        conditions = met_conditions(validation.available)
        if rule in conditions:  # one that decides alone
            conditions = [rule]
        logits = split_logits(trained.method, trained.normaliser, validation, conditions)
        scores = validation_scores(logits, validation, trained.task)
        selection = selection_score(scores, rule, trained.task)
        return {f"validation/{name}": value for name, value in scores.items()} | {
            "validation/selection": selection
        }


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


def _check_finite(curve: dict[str, float], epoch: int) -> None:
    for name, value in curve.items():
        if not math.isfinite(value):
            raise UserError(f"{name} is {value} in epoch {epoch}: training diverged; lower train.lr")


PLATEAU_FACTOR = 0.1
"""What the learning rate is multiplied by on a plateau."""


def rate(
    schedule: str, epoch: int, epochs: int, *, decay: float, plateau: int, scores: Sequence[float]
) -> float:
    """What the learning rate is multiplied by in an epoch.

    A function of the past alone, so that a training that goes on after a kill needs no state of its own.

    Args:
        schedule: 'constant'; 'linear', constant and then falling in a line over the last share `decay` of
            the epochs, to 0 behind the last; 'plateau', a tenth whenever the best validation score is more
            than `plateau` epochs old.
        epoch: counted from 1, of `epochs`.
        scores: validation scores of the epochs before, more is better.
    """
    if schedule == "linear":
        falling = round(decay * epochs)
        return min(1.0, (epochs - epoch + 1) / (falling + 1))
    if schedule == "plateau":
        factor, best, waited = 1.0, -math.inf, 0
        for score in scores:
            best, waited = (score, 0) if score > best else (best, waited + 1)
            if waited > plateau:
                factor, waited = factor * PLATEAU_FACTOR, 0
        return factor
    return 1.0


def parts(method: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The sub-networks of a method: its direct children, those of a collection one by one.

    A collection is a dictionary or a list of networks, one a modality as a rule. Parameters that lie
    directly in the method are one part more. Of a method with encoders below it: its own parts, and each encoder.
    What does not learn is in no part.
    """
    if isinstance(method, FineTuned):
        yield from parts(method.method)
        yield from filter(None, (_learning(encoder) for encoder in method.encoders.children()))
        return
    if own := [p for p in method.parameters(recurse=False) if p.requires_grad]:
        yield own
    for child in method.children():
        collection = isinstance(child, nn.ModuleDict | nn.ModuleList)
        for part in child.children() if collection else [child]:
            if found := _learning(part):
                yield found


def _learning(part: nn.Module) -> list[nn.Parameter]:
    return [p for p in part.parameters() if p.requires_grad]


def limit_gradients(method: nn.Module, limit: float, by: str) -> Tensor:
    """Limit the gradients in place, and return the norm of the whole before that.

    by: 'whole', the norm of all gradients together is at most `limit`; 'part', that of each sub-network;
    'value', each entry lies in [-limit, limit]. A limit of 0 is none.
    """
    if by == "part" and limit:
        norms = [nn.utils.clip_grad_norm_(part, limit) for part in parts(method)]
        return torch.stack(norms).square().sum().sqrt()
    whole = limit if by == "whole" and limit else math.inf
    norm = nn.utils.clip_grad_norm_(method.parameters(), whole)
    if by == "value" and limit:
        nn.utils.clip_grad_value_(method.parameters(), limit)
    return norm
