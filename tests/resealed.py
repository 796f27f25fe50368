"""Seal again what a test has changed on purpose, so that readers look at the change and not at the seal."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from cmarr.seals import BLANK, KEY, LIST, read_list, sealed, write_list


def relisted(folder: Path) -> None:
    """Name what the files of an exported folder now are in its list."""
    write_list(folder / LIST, [folder / name for name in read_list(folder / LIST)])


def redescribed(path: Path, **changes: object) -> None:
    """Let the weights of a model say something else of themselves, under a seal that fits."""
    retensored(path, load_file(path), **changes)


def retensored(path: Path, tensors: Mapping[str, Tensor], **changes: object) -> None:
    """Give the weights of a model other tensors, too."""
    with safe_open(path, "pt") as opened:
        description = json.loads(opened.metadata()["cmarr"]) | changes | {KEY: BLANK}
    with sealed(path) as temporary:
        save_file(dict(tensors), temporary, {"cmarr": json.dumps(description, sort_keys=True)})
