"""Ablations as data: a method with a few of its settings changed (the paper's Table 3, and beyond)."""

from pathlib import Path
from typing import Any

from cmarr.errors import UserError, require_known
from cmarr.methods.registry import method_class
from cmarr.plugins import METHODS, names
from cmarr.settings.declared import method_section, objective, settings_model
from cmarr.settings.load import read_yaml
from cmarr.settings.schema import FULL, TRIALS, Ablation, Settings
from cmarr.training.settings import DATA_KEYS, Train
from cmarr.validation import validate


def check_variants(settings: Settings, reserved: set[str]) -> None:
    """Refuse ablations that cannot be run, asked for or not.

    `reserved` are names that a variant's settings file must not take. Raises UserError.
    """
    labels: dict[str, str] = {}
    rows = {FULL, *names(METHODS)}.union(*(getattr(method_class(m), "parts", ()) for m in names(METHODS)))
    for name, ablation in settings.ablations.items():
        if ablation.label in labels:
            raise UserError(
                f"ablations.{name}.label: {ablation.label!r} is the label of {labels[ablation.label]}, too; "
                "a table could not tell them apart"
            )
        if ablation.label in rows:
            raise UserError(
                f"ablations.{name}.label: {ablation.label!r} is what tables call another row; take a label of its own"
            )
        labels[ablation.label] = name
        if not name.isidentifier() or not name.isascii():
            raise UserError(f"ablations: {name!r} names files and stages; use letters, digits and '_'")
        if name in reserved:
            raise UserError(f"ablations.{name}: {name!r} is the name of a method or a stage; choose another")
        for key, method in (("method", ablation.method), ("against", ablation.full)):
            told = f"{method!r} is not a method; there are {', '.join(names(METHODS))}"
            require_known(method, names(METHODS), f"ablations.{name}.{key}: {told}")
        varied(settings, name)
    for name in settings.ablate:
        told = f"ablate: {name!r} is not one of the ablations ({', '.join(settings.ablations)})"
        require_known(name, settings.ablations, told)
        full = settings.ablations[name].full
        if full not in settings.methods:
            raise UserError(f"ablate: {name!r} is compared with the full {full}; add {full} to methods")


def runnable(params: str | Path) -> list[str]:
    """The ablations in params.yaml whose full method is among its `methods`; `make ablations` asks for them.

    The stage `settings` says what is wrong with any of them.
    """
    raw = read_yaml(params)
    found = {
        name: section.get("against") or section.get("method", Ablation.model_fields["method"].default)
        for name, section in raw.get("ablations", {}).items()
        if isinstance(section, dict)
    }
    return [name for name, full in found.items() if full in raw.get("methods", ())]


def searched(params: str | Path) -> list[str]:
    """The ablations that are the methods of params.yaml after a search; `make tuned` asks for them."""
    return [f"{name}_tuned" for name in read_yaml(params).get("methods", ())]


def varied(settings: Settings, name: str) -> Settings:
    """The settings with the overrides of the ablation `name` in place.

    Overrides of `train` go to the method's own section, which they change alone.
    Raises UserError for a key that does not exist or does not concern the method, or a wrong value.
    """
    ablation = settings.ablations[name]
    values = settings.model_dump(by_alias=True)
    known = concerned(ablation.method)
    for key, value in ablation.set.items():
        told = f"the key {key!r} does not exist or does not concern {ablation.method}"
        require_known(key, known, f"ablations.{name}.set: {told}")
        section: dict[str, Any] = values
        *path, last = known[key].split(".")
        for part in path:
            section = section[part]
        section[last] = value
    if own := values["method"][ablation.method].get("train"):
        validate(Train, values["train"] | own, f"ablations.{name}.set.train")
    return validate(settings_model(), values, f"ablations.{name}.set")


def concerned(method: str) -> dict[str, str]:
    """The keys that an ablation of a method may set -> where its value goes."""
    fields = list(method_section(method).model_fields)
    keys = [f"method.{method}.{field}" for field in fields if field not in ("train", "first_stage")]
    found = {key: key for key in [*objective(method), *keys, TRIALS]}
    if "train" in fields:
        return found | {f"train.{field}": f"method.{method}.train.{field}" for field in Train.model_fields}
    return found | {f"train.{field}": f"train.{field}" for field in DATA_KEYS}
