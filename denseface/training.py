"""Denseface trained on the votes of FER+, resumable at any step."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cmarr.device import compiled
from cmarr.encoders.face_network import SHIPPED, SIDE, Denseface, copy_weights, remove_weights, save_weights
from cmarr.errors import UserError
from cmarr.files import digest, file_digest
from denseface.dense_block import training_logits
from denseface.ferplus import FaceSet, distribution
from denseface.recipe import PARAMS, Recipe, cycle, rate, side
from denseface.scoring import best_strength, class_shares, log_probabilities, validation_scores
from denseface.state import read_state, restore, write_state


@dataclass
class Progress:
    """Where a training stands: `epoch` epochs, and `batch` batches of the next with losses `loss` in all."""

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: float = -1.0
    best_sha256: str = ""
    curves: list[dict[str, float]] = field(default_factory=list)


class Average:
    """Exponential moving average of every floating-point tensor of a network, running statistics included.

    `decay` is what a step keeps of the average; over the first steps it keeps less, (1 + n) / (10 + n) at the n-th.
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float):
        self.tensors = {
            name: value.detach().clone() for name, value in tensors.items() if value.is_floating_point()
        }
        self.decay = decay

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Move towards the tensors after step number `step`, counted from 0."""
        kept = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), [tensors[name] for name in self.tensors], 1 - kept)


class Training:
    """A network with its average, its optimiser and its progress.

    What a step does follows from recipe, faces and the number of the step alone: the order of an epoch and the
    changes to a batch are drawn from seeds of their own. So a training that was stopped at any step and goes on from
    its state gives the same bits as one that was not, on the same kind of machine with as many threads.

    Args:
        train, validation: real faces (`FaceSet.real`).
        folder: where `state.safetensors` and `best.safetensors` lie; a state found there is continued. Between new
            best weights and the state that names them, the former ones lie there, too.
        compile: compile the plain network's forward and backward pass: minutes at the start.

    Raises:
        UserError: a state that is damaged, or belongs to another recipe or other faces.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: FaceSet,
        validation: FaceSet,
        folder: Path,
        *,
        device: str = "cpu",
        compile: bool = False,
    ):
        self.recipe, self.validation, self.device = recipe, validation, torch.device(device)
        self.state, self.best = folder / "state.safetensors", folder / "best.safetensors"
        self.former = folder / "former.safetensors"
        self.faces = torch.from_numpy(train.images).to(device)
        self.targets = torch.from_numpy(distribution(train.votes)).to(device)
        self.shares = class_shares(train)
        self.identity = {
            "recipe": recipe.model_dump(mode="json"),
            "faces": _digest(train),
            "validation": _digest(validation),
        }
        self.batches = len(train) // recipe.batch_size
        if not self.batches:
            raise UserError(
                f"{PARAMS}: recipe.batch_size: {recipe.batch_size} is more than the {len(train)} faces"
            )
        torch.manual_seed(recipe.seed)
        self.network = _placed(Denseface(), self.device).train()
        # changed in place by every step: what is here is current
        self.weights = dict(self.network.state_dict())
        self.average = Average(self.weights, recipe.average)
        self.optimiser = _optimiser(self.network, recipe)
        self.logits = self._forward(compile)
        self.progress = Progress()
        if self.state.is_file():
            self._restore()

    @property
    def done(self) -> bool:
        """Whether all epochs are over."""
        return self.progress.epoch >= self.recipe.epochs

    @property
    def steps(self) -> int:
        """Steps done."""
        return self.progress.epoch * self.batches + self.progress.batch

    @property
    def side(self) -> int:
        """Height and width of the faces of the epoch that is next or under way, pixels."""
        return self._side(min(self.progress.epoch, self.recipe.epochs - 1))

    def _side(self, epoch: int) -> int:
        recipe = self.recipe
        return side(epoch, *cycle(epoch, recipe.epochs, recipe.restarts), recipe.sides, recipe.side_shares)

    def run(self, minutes: float, tell: Callable[[str], None], *, epochs: int | None = None) -> None:
        """Train to the end, or for some more epochs; save the state every `minutes` and after every epoch.

        `tell` hears, as often, how it goes and how long it will take. Raises UserError when the loss is not finite.
        """
        until = (
            self.recipe.epochs if epochs is None else min(self.recipe.epochs, self.progress.epoch + epochs)
        )
        began = saved = time.monotonic()
        before, first = self.progress.seconds, self._pixels(self.progress.epoch, self.progress.batch)
        while self.progress.epoch < until:
            self.step()
            if self.progress.batch == self.batches:
                self._end_epoch()
            now = time.monotonic()
            self.progress.seconds = before + now - began
            if self.progress.batch == 0 or now - saved > 60 * minutes:
                self.save()
                pixels = self._pixels(self.progress.epoch, self.progress.batch)
                left = (now - began) / (pixels - first) * (self._pixels(until) - pixels)
                tell(f"{self}; {left / 3600:.1f} h left")
                saved = now

    def _pixels(self, epoch: int, batch: int = 0) -> int:
        """Height of the faces times width, summed over the steps before this one: the time they take goes with it."""
        whole = sum(self._side(e) ** 2 for e in range(epoch))
        return whole * self.batches + (self._side(epoch) ** 2 * batch if batch else 0)

    def step(self) -> None:
        """One step of the optimiser, on the next batch."""
        recipe, at = self.recipe, self.progress
        order = torch.randperm(len(self.faces), generator=_generator(recipe.seed, at.epoch))
        rows = order[at.batch * recipe.batch_size : (at.batch + 1) * recipe.batch_size].to(self.device)
        faces = recipe.augment(
            self.faces[rows], _generator(recipe.seed, at.epoch, at.batch + 1), self.side
        )  # (B, 1, side, side)
        first, end = cycle(at.epoch, recipe.epochs, recipe.restarts)
        place, of = self.steps - first * self.batches, (end - first) * self.batches
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.lr * rate(recipe.schedule, place, of, round(recipe.warmup * self.batches))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = self.logits(faces.contiguous(memory_format=torch.channels_last))  # (B, 8)
        loss = cross_entropy(logits.float(), self.targets[rows])
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.average.update(self.weights, self.steps)
        at.loss += float(loss.detach())
        at.batch += 1
        if not np.isfinite(at.loss):
            raise UserError(
                f"the loss is not finite in epoch {at.epoch + 1}: training diverged; lower recipe.lr"
            )

    def _forward(self, compile: bool) -> Callable[[Tensor], Tensor]:
        """Faces -> logits. On a CPU the blocks' own steps are faster than the plain network, compiled or not."""
        if compile or self.device.type != "cpu":
            network = self.network
            forward = compiled(network, "compile", dynamic=False) if compile else network
            return lambda faces: forward(faces)[1]
        spare: list[Tensor] = []
        return lambda faces: training_logits(self.network, faces, spare)

    def averaged(self) -> Denseface:
        """The network with averaged weights, in evaluation mode."""
        network = _placed(Denseface(), self.device)
        network.load_state_dict(self.average.tensors, strict=False)
        return network.eval()

    def save(self) -> None:
        """Write the state."""
        write_state(self.state, self._tensors(), {**self.identity, "progress": asdict(self.progress)})
        remove_weights(self.former)

    def __str__(self) -> str:
        """'epoch 3 of 60, accuracy 0.81, ...', or where in an epoch."""
        at, of = self.progress, self.recipe.epochs
        if at.batch:
            return f"epoch {at.epoch + 1} of {of}, batch {at.batch} of {self.batches}, loss {at.loss / at.batch:.4f}"
        curve = ", ".join(f"{name} {value:.4f}" for name, value in at.curves[-1].items())
        return f"epoch {at.epoch} of {of} done, {curve}"

    def _end_epoch(self) -> None:
        at = self.progress
        used = self.side
        network, answers = self._validated(used)
        scores = validation_scores(answers, self.validation)
        curve = {"loss": at.loss / self.batches, "side": float(used)}
        at.curves.append(curve | {f"validation/{k}": v for k, v in scores.items()})
        at.epoch, at.batch, at.loss = at.epoch + 1, 0, 0.0
        if used == SIDE and scores["selection"] > at.best_score:
            # the state on disk names the former ones still, should this be killed before the next is there
            if self.best.is_file():
                copy_weights(self.best, self.former)
            self._keep(network, answers)
            at.best_epoch, at.best_score, at.best_sha256 = (
                at.epoch,
                scores["selection"],
                file_digest(self.best),
            )

    def keep_unselected(self) -> None:
        """Write the averaged weights of this moment to `best`: for whoever cannot wait for the end of an epoch."""
        self._keep(*self._validated(SIDE))

    def _validated(self, pixels: int) -> tuple[Denseface, Tensor]:
        network = self.averaged()
        return network, log_probabilities(
            network, self.validation, device=str(self.device), precision=self.recipe.precision, side=pixels
        )

    def _keep(self, network: Denseface, answers: Tensor) -> None:
        notes = {
            "epoch": round(self.steps / self.batches, 2),
            "epochs": self.recipe.epochs,
            "shares": self.shares.tolist(),
            "strength": best_strength(answers.numpy(), self.validation, self.shares),
        }
        save_weights(self.best, network, half=True, notes=notes)

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        return {
            "network": self.weights,
            "average": self.average.tensors,
            "momentum": {
                name: self.optimiser.state[value]["momentum_buffer"]
                for name, value in self.network.named_parameters()
            },
        }

    def _restore(self) -> None:
        groups, notes = read_state(self.state)
        for key, value in self.identity.items():
            if notes[key] != value:
                raise UserError(_another(self.state, key, notes[key], value))
        try:
            self.progress = Progress(**notes["progress"])
        except TypeError:
            raise UserError(
                f"{self.state}: was written by another version of cmarr; go on with that one, or remove the file to "
                "begin anew"
            ) from None
        for group, tensors in self._tensors().items():
            restore(tensors, groups.get(group, {}), self.state)
        if self.progress.best_epoch:
            self._find_best()

    def _find_best(self) -> None:
        """Put the best weights that the state names where they belong, if they are not there."""
        at = self.progress
        for path in (self.best, self.former, SHIPPED):
            if path.is_file() and file_digest(path) == at.best_sha256:
                if path != self.best:
                    copy_weights(path, self.best)
                return
        raise UserError(
            f"{self.best}: the weights of epoch {at.best_epoch}, the best so far, are not there; restore the file, or "
            f"remove {self.state} to begin anew"
        )


def _placed(network: Denseface, device: torch.device) -> Denseface:
    placed: Denseface = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def _optimiser(network: Denseface, recipe: Recipe) -> torch.optim.SGD:
    """Nesterov's method; scales and shifts do not decay. What is remembered begins at zero, so that it can be restored.

    Without momentum there is nothing to look ahead with, and torch refuses the word.
    """
    parts: dict[bool, list[Any]] = {True: [], False: []}
    for value in network.parameters():
        parts[value.ndim > 1].append(value)
    groups: list[dict[str, Any]] = [
        {"params": parts[True], "weight_decay": recipe.weight_decay},
        {"params": parts[False]},
    ]
    optimiser = torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True
    )
    for value in network.parameters():
        optimiser.state[value]["momentum_buffer"] = torch.zeros_like(value)
    return optimiser


def _generator(*numbers: int) -> torch.Generator:
    """A generator of its own for an epoch or a batch."""
    return torch.Generator().manual_seed(int(digest(list(numbers))[:15], 16))


def _digest(faces: FaceSet) -> str:
    content = hashlib.sha256(faces.images.tobytes() + faces.votes.tobytes())
    return content.hexdigest()[:16]


def _another(path: Path, key: str, then: Any, now: Any) -> str:
    if key != "recipe":
        return f"{path}: was trained on other faces; set `root` to those, or remove the file to begin anew"
    then, now = ({**recipe, **_named("augment", recipe.get("augment", {}))} for recipe in (then, now))
    changed = [name for name in {**now, **then} if name != "augment" and then.get(name) != now.get(name)]
    told = ", ".join(f"{name} was {then.get(name)}, now {now.get(name)}" for name in changed)
    return f"{path}: was trained with other settings (recipe: {told}); set them back, or remove the file to begin anew"


def _named(section: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{section}.{name}": value for name, value in keys.items()}
