"""Which pretrained networks lie on this machine, and which encoder of a modality is therefore the best there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmarr.budgets import expanded

BEST = "best"
"""Value of `encoders.<modality>` that stands for the first of `RANKED` that is at hand."""

RANKED = {"speech": ("wav2vec2", "logmel"), "video": ("denseface",), "text": ("bert", "minilm")}
"""Modality -> encoders, the best first; the last one needs nothing but what cmarr is installed with."""

WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)


def at_hand(model: str, revision: str, base: Path = Path()) -> bool:
    """Whether a network lies in a folder, absolute or below `base`, or, whole, in the cache of the model hub."""
    place = base / expanded(model)
    if not place.is_dir():
        place = hub() / f"models--{model.replace('/', '--')}"
        named = place / "refs" / revision
        commit = named.read_text(encoding="utf-8").strip() if named.is_file() else revision
        place = place / "snapshots" / commit
    return (place / "config.json").is_file() and any((place / name).is_file() for name in WEIGHTS)


def hub() -> Path:
    """The folder in which the model hub's library keeps what it has fetched."""
    own = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return expanded(own) if own else expanded(home) / "hub"


def chosen(encoders: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The section `encoders` of params.yaml, with the name of an encoder in the place of each `best`.

    base: the folder from which relative paths start
    """
    found = dict(encoders)
    for modality, ranked in RANKED.items():
        if found.get(modality) == BEST:
            found[modality] = next(name for name in ranked if not lacking(found.get(name), base))
    return found


def lacking(section: Any, base: Path) -> str:
    """The network that an encoder's section names and that is not at hand; empty where there is none to miss."""
    model = section.get("model") if isinstance(section, Mapping) else None
    if model is None or at_hand(str(model), str(section.get("revision", "")), base):
        return ""
    return str(model)


def looked_for(encoders: Mapping[str, Any], base: Path) -> dict[str, str]:
    """Encoder -> its network that is not at hand, of all that `best` may stand for."""
    return {name: lacking(encoders.get(name), base) for ranked in RANKED.values() for name in ranked}
