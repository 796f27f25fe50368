"""Settings as people compare them: all that a study uses, and the few that stand out.

A table of experiments has a column for each setting that it is given. So it is given those that everybody asks for, and
of all others those that are not as usual.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from cmarr.corpora.registry import reader_options
from cmarr.modalities import LETTERS, NAMES
from cmarr.settings.load import leaves, merge
from cmarr.settings.schema import Settings

ALWAYS = ("preset", "seeds", *(f"encoders.{m}" for m in LETTERS), "alpha", "beta", "lambda", "train.epochs")
"""Keys that stand in every table of experiments."""

NEVER = ("dataset", "device", "executor", "memory", "methods", "plugins", "register_model", "workers")
"""Keys at the top that change no result, that the place of the table says, or that DVC shows by itself (`methods`)."""

USUAL: dict[str, Any] = {
    "protocols": ["fixed", "rate"],
    "protocol": {
        "seed": 0,
        "rate": {"levels": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], "draw": "cells", "batch": 32},
    },
    "finetune": {"lr": 1e-5, "freeze_front_end": True, "checkpointing": True},
    "extraction": {"shard_size": 64, "max_rejected": 0.1, "time_limit": 60.0},
    "tune": {"trials": 1, "beside": 6, "factor": [0.25, 4.0], "dropout": [0.0, 0.5]},
    "sensitivity": {
        "alpha": [0.1, 0.5, 1.0, 2.0],
        "beta": [0.05, 0.1, 0.5, 1.0],
        "lambda": [1.0, 5.0, 10.0, 20.0],
    },
}
"""What params.yaml comes with, of keys that neither a preset nor a declaration gives a value to."""

DATASET = {"task": "classification", "merge": {}, "features": "encoders", "n_folds": 5}
"""The same of the dataset's own section."""


def shown(settings: Settings) -> dict[str, Any]:
    """params.yaml with the preset filled in, as it is compared in full.

    Of sections that each belong to a name, those of names that are used; no key whose value the machine decides.
    """
    whole = settings.model_dump(mode="json", by_alias=True)
    used = {
        "datasets": {settings.dataset, *settings.cross},
        "ablations": set(settings.ablate),
        "method": {*settings.methods, *(settings.ablations[name].method for name in settings.ablate)},
        "encoders": {*NAMES.values(), *(whole["encoders"][modality] for modality in NAMES.values())},
    }
    if "all" not in settings.protocols:
        used["protocol"] = {"seed", *settings.protocols}
    for section, chosen in used.items():
        whole[section] = {name: own for name, own in whole[section].items() if name in chosen}
    return {key: value for key, value in _decided(whole).items() if key != "ray"}


def _decided(tree: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that are `auto`."""
    return {
        key: _decided(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value != "auto"
    }


def outstanding(settings: Settings, preset: Mapping[str, Any]) -> dict[str, Any]:
    """Of `shown`, the keys of `ALWAYS`, and all whose value is another than the preset, or else a declaration, has."""
    own = settings.datasets[settings.dataset]
    options = reader_options(own.kind, settings.dataset, {}).model_dump(mode="json")
    usual = merge(USUAL, {"datasets": {settings.dataset: DATASET | {"options": options}}})
    found = {key: value for key, value in shown(settings).items() if key not in NEVER}
    found["datasets"] = {
        settings.dataset: {
            key: value
            for key, value in found["datasets"].pop(settings.dataset).items()
            if key not in ("kind", "preset", "root")
        },
        **found["datasets"],
    }
    other = _unusual(settings, found, merge(usual, preset))
    for name in ALWAYS:
        *sections, key = name.split(".")
        value, place = found, other
        for section in sections:
            value, place = value.get(section, {}), place.setdefault(section, {})
        if key in value:
            place[key] = value[key]
    if "ablations" in other:  # one column each, whatever it changes
        every = found["ablations"]
        other["ablations"] = {name: _in_words(every[name]) for name in other["ablations"]}
    return {key: value for key, value in other.items() if value != {}}


def _in_words(ablation: Mapping[str, Any]) -> str:
    """What an ablation is of and what it sets, in one line.

    >>> _in_words({"method": "mcur", "label": "", "set": {"method.mcur.teacher": "self", "alpha": 1.0}})
    'mcur, teacher=self, alpha=1.0'
    """
    own = f"method.{ablation['method']}."
    changes = [f"{'.'.join(p).removeprefix(own)}={value}" for p, value in leaves(ablation.get("set", {}))]
    privileges = [f"privileges={'+'.join(ablation['privileges'])}"] if ablation.get("privileges") else []
    return ", ".join([ablation["method"], *changes, *privileges])


def _unusual(model: Any, told: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was told, all that differs from `usual` or, where that says nothing, from the model's own default."""
    fields = {
        field.alias or name: (name, field) for name, field in getattr(type(model), "model_fields", {}).items()
    }
    found: dict[str, Any] = {}
    for key, value in told.items():
        name, field = fields.get(key, (key, None))
        inner = model.get(key) if isinstance(model, Mapping) else getattr(model, name, None)
        if isinstance(inner, BaseModel | dict) and isinstance(value, dict):
            nested = usual.get(key, {})
            if below := _unusual(inner, value, nested if isinstance(nested, Mapping) else {}):
                found[key] = below
            continue
        if key in usual:
            same = value == usual[key]
        elif field is None or field.is_required():
            same = value in ([], {})
        else:
            default = field.get_default(call_default_factory=True)
            same = value == (list(default) if isinstance(default, tuple) else default)  # as JSON has it
        if not same:
            found[key] = value
    return found
