"""docs/add-a-method.md, followed to the letter in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))
from documented import blocks

ROOT = Path(__file__).parents[2]
PAGE = "add-a-method.md"


def insert(path: Path, before: str, text: str) -> None:
    content = path.read_text()
    assert before in content, f"{path} does not hold {before!r}"
    path.write_text(content.replace(before, text + before, 1))


def run(*command: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environment | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_one_file_one_line_and_a_section(corpus):
    project = corpus.root
    for folder in ("cmarr", "stages", "presets"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/methods", project / "tests/methods")
    shutil.copy(ROOT / "pyproject.toml", project)

    module, line, schema = blocks(PAGE, "python")
    (project / "cmarr/methods/average.py").write_text(module + line)
    params = (ROOT / "params.yaml").read_text()
    for old, new in (
        ("methods:\n- cmarr\n- masked\n- linear\n", "methods: [average]\n"),
        (
            "    classes:\n    - angry\n    - happy\n    - neutral\n    - sad\n",
            "    classes: [calm, tense]\n",
        ),
        ("epochs: auto", "epochs: 30"),
        ("lr: auto", "lr: 0.01"),
    ):
        assert old in params
        params = params.replace(old, new, 1)
    (project / "params.yaml").write_text(params)
    insert(project / "params.yaml", "  masked:\n", *blocks(PAGE, "yaml"))
    insert(project / "cmarr/settings/schema.py", "class Methods(Section):", schema + "\n\n")
    insert(project / "cmarr/settings/schema.py", "    masked: Masked\n", "    average: Average\n")

    tests = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/methods/test_protocol.py", "-k", "average",
                cwd=project)  # fmt: skip
    assert re.search(r"\d{2} passed", tests)

    shutil.move(project / "data/tiny", project / "data/demo")
    for stage in ("settings demo", "pretrain demo average", "train demo average", "evaluate demo average"):
        name, *arguments = stage.split()
        run("-m", f"stages.{name}", *arguments, cwd=project)
    scores = json.loads((project / "metrics/demo/average.json").read_text())
    assert scores["UAR"]["svt"]["mean"] >= 0.5
