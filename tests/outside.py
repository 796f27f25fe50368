"""A project of somebody who edits nothing of the product: params.yaml and presets in one folder, plugins in another."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from cmarr.settings.load import read_yaml
from tests.documented import blocks
from tests.warm import python

ROOT = Path(__file__).parents[1]


def page_file(page: str, folder: Path) -> Path:
    """Write the file of a page's first Python block where the page says that it is, seen from `folder`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    name = text.split("## 1. The file")[1].split("`")[1]
    path = (folder / name).resolve()
    path.parent.mkdir(exist_ok=True)
    path.write_text(blocks(page, "python")[0], encoding="utf-8")
    return path


def write_params(project: Path, **changes) -> None:
    """The product's params.yaml with other values: `train__epochs=3` is the key `train.epochs`."""
    params = read_yaml(ROOT / "params.yaml")
    for key, value in changes.items():
        *above, last = key.split("__")
        section = params
        for part in above:
            section = section.setdefault(part, {})
        section[last] = value
    (project / "params.yaml").write_text(json.dumps(params))  # JSON is YAML
    if not (project / "presets").exists():
        shutil.copytree(ROOT / "presets", project / "presets")


def run(*command: str, cwd: Path, fails: bool = False, **environment: str) -> str:
    """What `python` says to a command in the project; the product is only imported."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "PYTEST_", "CMARR_"))}
    done = subprocess.run(
        [python(), *command],
        cwd=cwd,
        env=inherited | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert bool(done.returncode) is fails, done.stdout
    return done.stdout
