"""What is installed from outside a clone: the wheel, its description, the image for a container."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes

import pytest
from typer.testing import CliRunner

from cmarr.cli import app
from cmarr.extras import EXTRAS
from setup import description
from tests.documented import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STEPS = re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE, re.MULTILINE)
SECOND = STEPS[[i for i, (word, _) in enumerate(STEPS) if word == "FROM"][1] :]


def copied() -> list[str]:
    """What the image takes of the project."""
    return [
        source
        for word, rest in STEPS
        if word == "COPY" and "--from" not in rest
        for source in shlex.split(rest)[:-1]
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built as the image builds it: of what it copies, links as links, and of nothing else."""
    folder = tmp_path_factory.mktemp("image")
    for source in copied():
        path = ROOT / source
        if path.is_dir():
            left_out = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, folder / source, symlinks=True, ignore=left_out)
        else:
            shutil.copy(path, folder / source)
    words = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", "out", "."]
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    (built,) = (folder / "out").glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_has_all_that_a_first_answer_takes(wheel):
    names = set(wheel.namelist())
    for needed in (
        "cmarr/py.typed",
        "cmarr/encoders/weights/denseface.safetensors",
        "cmarr/recognition/shipped/starter/model.json",
        "cmarr/study/defaults/params.yaml",
        "cmarr/study/defaults/presets/frozen.yaml",
    ):
        assert needed in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"cmarr"}


def test_its_description_leads_nowhere_that_is_not_there(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    told = message_from_bytes(wheel.read(name))
    text = told.get_payload()
    assert text.lstrip().startswith("# cmarr") and told["Description-Content-Type"] == "text/markdown"
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert not re.findall(r"\]\((?!https?://|#)[^)]*\)", prose)
    assert told["Version"] and told["Author"] and told.get_all("Project-URL") and told.get_all("Classifier")
    assert set(told.get_all("Provides-Extra")) == {*EXTRAS, "all", "dev"}


def test_links_are_made_absolute_where_the_project_can_be_browsed():
    text = "See [the *page*](docs/a.md), ![a picture](b.png) and [elsewhere](https://example.org)."
    home = "https://example.org/cmarr/"
    assert description(text, home) == text.replace("](docs", f"]({home}docs").replace("](b", f"]({home}b")
    assert description(text, "") == "See the *page*,  and [elsewhere](https://example.org)."


def test_the_image_copies_what_there_is_and_what_it_may():
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied() and kept[0] == "*"
    for source in copied():
        assert (ROOT / source).exists() and f"!{source.removeprefix('./')}" in kept


def test_its_extras_are_there_and_torch_is_the_one_for_cpus():
    installs = [rest for word, rest in STEPS if word == "RUN" and "pip install" in rest]
    assert "download.pytorch.org/whl/cpu" in installs[0] and "torch" in shlex.split(installs[0])
    (extras,) = re.findall(r"\.\[([\w,]+)\]", installs[1])
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_it_runs_a_command_of_ours_as_nobody_in_particular():
    users = [rest for word, rest in SECOND if word == "USER"]
    assert users and users[-1] not in ("root", "0")
    steps = dict(SECOND)
    assert eval(steps["ENTRYPOINT"]) == ["cmarr"]
    command = eval(steps["CMD"])
    told = CliRunner().invoke(app, [command[0], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert all(word in told for word in command if word.startswith("--"))
    assert steps["EXPOSE"] == command[command.index("--port") + 1] and steps["EXPOSE"] in steps["HEALTHCHECK"]


@pytest.mark.parametrize("page", ["install.md", "cluster.md", "encoders.md"])
def test_what_pages_tell_to_install_exists(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = [name for several in re.findall(r"cmarr\[([\w,]+)\]", text) for name in several.split(",")]
    assert named and set(named) <= set(PROJECT["optional-dependencies"])
