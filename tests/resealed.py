"""Seal again what a test has changed on purpose, so that readers look at the change and not at the seal."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cmarr.seals import BLANK, KEY, LIST, read_list, sealed, write_list


def relisted(folder: Path) -> None:
    """Name what the files of an exported folder now are in its list."""
    write_list(folder / LIST, [folder / name for name in read_list(folder / LIST)])


def redescribed(path: Path, **changes: object) -> None:
    """Let the weights of a model say something else of themselves, under a seal that fits."""
    with safe_open(path, "pt") as opened:
        description = json.loads(opened.metadata()["cmarr"]) | changes | {KEY: BLANK}
    tensors = load_file(path)
    with sealed(path) as temporary:
        save_file(tensors, temporary, {"cmarr": json.dumps(description, sort_keys=True)})
