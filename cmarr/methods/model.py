"""A trained model on disk: one safetensors file with weights, normalisation, prior and settings."""

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from cmarr.data.labelled import labelled
from cmarr.data.normalise import Normaliser
from cmarr.encoders.trainable import from_description
from cmarr.errors import NotWhole, UserError, first_line
from cmarr.folds.files import Fold
from cmarr.folds.privileges import PER_CONDITION, REDRAWN, SAMPLED
from cmarr.methods.described import described, refuse_privileged, whole_model
from cmarr.methods.finetuned import with_encoders
from cmarr.methods.per_condition import PerCondition
from cmarr.methods.protocol import SizedByData
from cmarr.methods.registry import build_method
from cmarr.modalities import CONDITIONS
from cmarr.seals import BLANK, KEY, sealed
from cmarr.task import Task


@dataclass(frozen=True)
class Model:
    """A method with what it needs to predict.

    prior: (K,) class frequencies of the training split, or (1,) the median score; the prediction for an
    utterance with nothing usable.
    """

    method: nn.Module
    normaliser: Normaliser
    prior: Tensor
    task: Task
    description: Mapping[str, Any]

    @property
    def widths_read(self) -> dict[str, int]:
        """Modality -> width of the features that it reads: of counts of terms, how many these are."""
        return {**self.description["dims"], **self.description.get("terms", {})}


def training_prior(labels: Tensor, task: Task) -> Tensor:
    """Class frequencies (K,) or the median score (1,) of the training split, as far as it has labels."""
    labels = labels[labelled(labels)]
    if task.regression:
        return labels.float().median().reshape(1).cpu()
    return torch.bincount(labels.cpu(), minlength=task.outputs).float() / len(labels)


def save_model(path: str | Path, model: Model) -> None:
    """Write the model, sealed."""
    tensors = {f"method.{k}": v for k, v in model.method.state_dict().items()}
    tensors |= {f"normaliser.{k}": v for k, v in model.normaliser.state_dict().items()}
    tensors = {k: v.detach().cpu().contiguous() for k, v in (tensors | {"prior": model.prior}).items()}
    description = json.dumps({**model.description, KEY: BLANK}, sort_keys=True)
    with sealed(path, ".safetensors") as temporary:
        save_file(tensors, temporary, {"cmarr": description})


def load_model(path: str | Path, device: str | torch.device = "cpu", *, privileged: bool = False) -> Model:
    """Read a model back, in evaluation mode. Safetensors hold numbers only: nothing in the file can run.

    Raises UserError for a file that is missing, damaged or not one of ours; and for one that was trained with
    privileges, unless `privileged` asks to measure what they are worth.
    """
    with whole_model(path) as file:
        return _loaded(file, path, device, privileged)


def _loaded(file: Path, path: str | Path, device: str | torch.device, privileged: bool) -> Model:
    try:
        with safe_open(file, "pt", device="cpu") as opened:
            description = described(opened)
            if not privileged:
                refuse_privileged(description)
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            task = Task(tuple(description["classes"]))
            _refuse_another_size(description, task, tensors)
            method = _built(description, task)
            own = description.get("encoders", {})
            dims = {m: dim for m, dim in description["dims"].items() if m not in own}
            by_speaker = description.get("normalise") == "speaker"
            with torch.device("meta"):
                outline = Normaliser(dims, description.get("terms"), by_speaker=by_speaker).state_dict()
            _refuse_other_sizes(outline, _below(tensors, "normaliser."))
            normaliser = Normaliser(dims, description.get("terms"), by_speaker=by_speaker)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except _TAMPERED as error:
        reason = first_line(error)
        raise UserError(
            f"{path}: is not a model of this product, or is damaged ({reason}); train it again"
        ) from None
    try:
        method.load_state_dict(_below(tensors, "method."))
        normaliser.load_state_dict(_below(tensors, "normaliser."))
        prior = tensors["prior"]
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: does not fit this version of {description['method']} ({reason}); train it again"
        ) from None
    return Model(method.to(device).eval(), normaliser.to(device), prior, task, description)


def load_trained(
    folder: str | Path, fold: Fold, seed: int, device: str | torch.device = "cpu", *, privileged: bool = False
) -> Model:
    """The model of a fold and seed.

    Raises UserError as `load_model`, and for one that was trained on other utterances than this fold has for it: some
    of them may be among those that it is to be tested on.
    """
    path = Path(folder) / f"fold{fold.number}-seed{seed}.safetensors"
    model = load_model(path, device, privileged=privileged)
    if model.description.get("split", fold.split) != fold.split:
        raise NotWhole(path, f"{path}: was trained on other folds than there are now; train it again")
    return model


_TAMPERED = (
    SafetensorError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError,
    MemoryError, OSError,
)  # fmt: skip
"""What building from a description of another kind raises."""


@contextlib.contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Let no more than so many parameters be made: a description must not ask for a billion layers."""
    made = 0

    def counted(*_: object) -> None:
        nonlocal made
        made += 1
        if made > count:
            raise ValueError("it asks for more parameters than the file holds")

    hook = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()


def _built(description: Mapping[str, Any], task: Task) -> nn.Module:
    privileges = description.get("privileges", ())
    if PER_CONDITION not in privileges:
        return with_privileges(_one(description, task), privileges)
    known = [condition for condition in CONDITIONS if set(condition) <= set(description["dims"])]
    return with_privileges(PerCondition({c: _one(description, task) for c in known}), privileges)


def _one(description: Mapping[str, Any], task: Task) -> nn.Module:
    method = build_method(
        description["method"],
        description["dims"],
        task,
        description["settings"],
        first_stage=description.get("first_stage", False),
    )
    encoders = {m: from_description(own) for m, own in description.get("encoders", {}).items()}
    return with_encoders(method, encoders) if encoders else method


def with_privileges(method: nn.Module, privileges: Collection[str]) -> nn.Module:
    """The method, told to draw its answers, or what is hidden around them, anew each time, if it may and knows how."""
    told = {"samples_answers": SAMPLED, "redraws_masks": REDRAWN}
    for part in method.modules():
        for name in (
            own for own, privilege in told.items() if privilege in privileges and hasattr(part, own)
        ):
            setattr(part, name, 1)
    return method


def _refuse_another_size(description: Mapping[str, Any], task: Task, tensors: Mapping[str, Tensor]) -> None:
    """Build the method without memory first: a description must not claim sizes that its own file does not hold."""
    with torch.device("meta"), _at_most(1000 + 10 * len(tensors)):  # some are made twice
        try:
            outline = _built(description, task)
        except NotImplementedError:  # an operation that needs numbers
            return
    for name, module in outline.named_modules():
        if isinstance(module, SizedByData):
            module.sizes_from(tensors, f"method.{name}{name and '.'}")
    if not all(module.sizes_agree() for module in outline.modules() if isinstance(module, SizedByData)):
        raise ValueError("its tensors do not fit together")
    _refuse_other_sizes(outline.state_dict(), _below(tensors, "method."))


def _refuse_other_sizes(outline: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    for name, planned in outline.items():
        if name not in tensors or tensors[name].shape != planned.shape:
            raise ValueError(f"{name} is not of the size that its description says")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
