"""The state of an unfinished training in one safetensors file: small enough for git, exact to the bit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cmarr.budgets import plain_json
from cmarr.errors import UserError
from cmarr.seals import BLANK, KEY, require_whole, sealed

NOTES = {"recipe": dict, "faces": str, "validation": str, "progress": dict}
"""What the notes of every state hold: how it is trained, on what, and how far it is."""


_AGAIN = "restore the file, or remove it to begin anew"


def write_state(
    path: str | Path, tensors: Mapping[str, Mapping[str, Tensor]], notes: Mapping[str, Any]
) -> None:
    """Write groups of tensors, and notes (see `NOTES`), sealed: after a kill the old state or the new one."""
    flat = {
        f"{group}/{name}": value.detach().cpu().contiguous()
        for group, named in tensors.items()
        for name, value in named.items()
    }
    told = json.dumps({**notes, KEY: BLANK}, sort_keys=True, allow_nan=False)
    with sealed(path, ".safetensors") as temporary:
        save_file(flat, temporary, {"notes": told})


def read_state(path: str | Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `write_state` wrote. Raises UserError for a file that is damaged or something else."""
    groups: dict[str, dict[str, Tensor]] = {}
    require_whole(path, _AGAIN)
    try:
        with safe_open(str(path), framework="pt") as opened:
            notes = _checked(plain_json((opened.metadata() or {})["notes"]))
            for key in opened.keys():  # noqa: SIM118 - it is no mapping
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = opened.get_tensor(key)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: is not the state of a training of Denseface ({reason}); {_AGAIN}") from None
    del notes[KEY]
    return groups, notes


def _checked(notes: Any) -> dict[str, Any]:
    if not isinstance(notes, dict):
        raise ValueError("it has no notes")
    for key, kind in NOTES.items():
        if not isinstance(notes.get(key), kind):
            raise ValueError(f"its notes lack {key!r}")
    return notes


def restore(target: Mapping[str, Tensor], found: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy the tensors of one group into those of the same names; raises UserError where they do not fit."""
    if set(target) != set(found) or any(target[name].shape != found[name].shape for name in target):
        raise UserError(f"{path}: holds the state of another network; remove it to begin anew")
    with torch.no_grad():
        for name, value in target.items():
            value.copy_(found[name])
