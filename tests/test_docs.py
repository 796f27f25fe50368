"""The pages under docs/ that walk through a paper: what they link to exists, and the keys they name do, too."""

import re
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from dvc.cli import parse_args

from cmarr.settings.load import read_yaml
from tests.line_links import LINK, PAGE, defined

ROOT = Path(__file__).parents[1]
PAGES = {"cmarr": PAGE, "mcur": ROOT / "docs/mcur.md"}
LINKS = {link[:2] for page in PAGES.values() for link in LINK.findall(page.read_text(encoding="utf-8"))}


@pytest.mark.parametrize(("symbol", "target"), sorted(LINKS))
def test_a_link_leads_to_what_it_names(symbol, target):
    path = (PAGE.parent / target).resolve()
    assert path.is_file()
    assert symbol in defined(path)


def test_the_lines_of_a_link_are_those_of_the_definition():
    """By example, through what stands on them."""
    text = PAGE.read_text(encoding="utf-8")
    for name, head, within in (
        ("DistributionContrast.distances", "def distances", "points"),
        ("Recovery._mean_latents", "def _mean_latents", "# Eq 7"),
        ("Fusion.represent", "def represent", "# Eq 10, 11"),
        ("reconstruction_loss", "def reconstruction_loss", "truth.detach()"),
    ):
        target, first, last = re.search(rf"\[`{re.escape(name)}`\]\((\S+)#L(\d+)-L(\d+)\)", text).groups()
        lines = (PAGE.parent / target).read_text(encoding="utf-8").splitlines()[int(first) - 1 : int(last)]
        assert lines[0].strip().startswith(head)
        assert any(within in line for line in lines)


def test_every_equation_is_linked():
    text = PAGE.read_text(encoding="utf-8")
    parts = [part for part in re.split(r"\n\n", text) if LINKS and "](../cmarr" in part]
    walked = set()
    for part in parts:
        for first, last in re.findall(r"Eq (\d+)(?:-(\d+))?", part):
            walked |= set(range(int(first), int(last or first) + 1))
    assert walked == set(range(1, 15))


@pytest.mark.parametrize("method", PAGES)
def test_every_key_in_the_tables_exists_and_every_switch_is_in_them(method):
    params = read_yaml(ROOT / "params.yaml")
    text = PAGES[method].read_text(encoding="utf-8")
    # the last cell of the tables of choices; the table of the paper's words has two cells
    rows = [line.split("|")[-2] for line in text.splitlines() if re.match(r"\|( [^|]* \|){3}$", line)]
    named = {key for row in rows for key in re.findall(r"`([\w.]+)`", row)}
    own = set(params["method"][method])
    assert {key for key in named if "." not in key} <= own
    for section, key in (name.split(".") for name in named if "." in name):
        assert key in params[section], f"{section}.{key}"
    assert own - named - {"train", "heads", "dropout", "gradient_shares"} == set()


def test_the_presets_it_names_exist():
    names = set(re.findall(r"`(paper[\w.-]*)`", PAGE.read_text(encoding="utf-8")))
    assert names
    assert not [name for name in names if not (ROOT / "presets" / f"{name}.yaml").is_file()]


CLUSTER = ROOT / "docs/cluster.md"
NOT_HERE = {
    "make": "tests/test_readme.py holds that the target exists; what it installs is what this test runs in",
    "export": "sets a variable; tests/test_cluster.py starts its nodes with the same one",
    "sbatch": "needs SLURM; the script itself is checked below",
    "squeue": "needs SLURM",
    "cmarr": "tests/recognition/test_documented_commands.py types it",
}
"""Commands of docs/cluster.md that nothing checks word by word, and why. The others' words are given to the parsers of
Ray and DVC; what they do is run by tests/test_cluster.py and tests/pipeline."""


def typed(page: Path) -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [
        words
        for block in blocks
        for line in block.splitlines()
        if (words := shlex.split(line, comments=True))
    ]


@pytest.mark.parametrize("words", typed(CLUSTER), ids=" ".join)
def test_a_command_for_clusters_is_one_that_its_program_takes(words):
    program, *arguments = words
    if program == "dvc":
        parse_args(arguments)  # ends the process over a word that it does not know
    elif program == "ray":
        if find_spec("ray") is None:
            pytest.skip("Ray is an extra: make cluster")
        from ray.scripts.scripts import cli

        command, *options = arguments
        cli.commands[command].make_context(command, options)
    else:
        assert program in NOT_HERE, f"{program}: neither checked nor excused"


def test_the_slurm_script_is_bash_and_starts_ray_as_it_can_be_started():
    script = re.search(r"```slurm\n(.*?)```", CLUSTER.read_text(encoding="utf-8"), re.DOTALL)[1]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert {line.split("=")[0] for line in script.splitlines() if line.startswith("#SBATCH")} >= {
        "#SBATCH --nodes"
    }
    (study,) = [shlex.split(line) for line in script.splitlines() if line.startswith("dvc ")]
    parse_args(study[1:])


def test_the_keys_in_the_table_of_clusters_exist():
    params = read_yaml(ROOT / "params.yaml")
    keys = re.findall(r"^\| `([\w.]+)` \|", CLUSTER.read_text(encoding="utf-8"), re.MULTILINE)
    assert {f"ray.{key}" for key in ("cpus", "gpus", "retries")} <= set(keys)
    for key in keys:
        section = params
        for part in key.split("."):
            assert part in section, key
            section = section[part]
