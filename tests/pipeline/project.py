"""A small copy of this repository in which the real dvc.yaml runs."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests import warm

ROOT = Path(__file__).parents[2]

NOTED = ".cmarr/noted"
"""Folder of a copy in which tests/pipeline/noting leaves what its stages imported."""

PATIENCE = 900.0
"""Seconds that bound a hang, and nothing else."""

SMALL = {
    "epochs: auto": "epochs: 3",
    "sessions: 5 ": "sessions: 3 ",
    "utterances: 240": "utterances: 24",
    "flow_steps: auto": "flow_steps: 1",
    "rate: auto      # as in hog. 10.0": "rate: 1.0       # as in hog. 10.0",
    "d: auto             # width": "d: 16             # width",
    "length: auto        # steps": "length: 4        # steps",
    "workers: auto ": "workers: 1 ",
    "C: auto             # inverse strength of the L2 penalty (ridge: alpha = 1 / C); auto = for each condition": (
        "C: 1.0              # inverse strength of the L2 penalty (ridge: alpha = 1 / C); auto = for each condition"
    ),
    "- masked\n- linear\n- gaussian\n- anchored\n": "- linear\n",
}
"""Changes of params.yaml that make a study of seconds: three sessions, one of them trains; two methods. A second
worker would import everything anew; that their number changes nothing is held where each stage's work is tested."""


@dataclass(frozen=True)
class Project:
    """A working copy and the commands a user would type in it."""

    root: Path

    def run(
        self, *command: str, check: bool = True, more: dict[str, str] | None = None, **options
    ) -> subprocess.CompletedProcess:
        """Run a command in the copy, `more` in its environment; its output is in `.stdout`, standard error included."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment() | (more or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        return done

    def dvc(self, *arguments: str, check: bool = True, more: dict[str, str] | None = None) -> str:
        """Run DVC; returns what it printed."""
        return self.run("python", "-m", "dvc", *arguments, check=check, more=more).stdout

    def edit(self, **changes: str) -> None:
        """Replace text in params.yaml (the user's editor)."""
        replace(self.root / "params.yaml", changes)


def replace(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path} does not hold {old!r}"
        text = text.replace(old, new, 1)
    path.write_text(text)


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    binaries = str(Path(sys.executable).parent)
    if sys.platform == "linux":
        binaries = f"{warm.folder()}{os.pathsep}{binaries}"
    quiet = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    names = {f"GIT_{who}_NAME": "test" for who in ("AUTHOR", "COMMITTER")}
    addresses = {f"GIT_{who}_EMAIL": "test@example.org" for who in ("AUTHOR", "COMMITTER")}
    return env | quiet | names | addresses | {"PATH": f"{binaries}{os.pathsep}{env['PATH']}"}


def copy_of_the_project(target: Path) -> Project:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        # the lock of a pipeline that ran here is no part of the project
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("tests/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for compiled in (
        *ROOT.glob("cmarr/**/__pycache__"),
        ROOT / "stages/__pycache__",
    ):  # or each would be compiled anew
        if compiled.is_dir():
            shutil.copytree(compiled, target / compiled.relative_to(ROOT))
    project = Project(target)
    replace(target / "params.yaml", SMALL)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Start"]):
        project.run("git", *command)
    return project


def copy_of(project: Project, target: Path, name: Path | None = None) -> Project:
    """All of a project, what it computed included; its MLflow looks for artifacts in the copy, `name` as it will be."""
    shutil.copytree(project.root, target, symlinks=True, dirs_exist_ok=True)
    if (database := target / "mlflow.db").exists():
        before, after = f"{project.root}/", f"{name or target}/"
        with contextlib.closing(sqlite3.connect(database)) as opened, opened:
            tables = "select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table'"
            for table, column in opened.execute(tables).fetchall():
                change = f'update "{table}" set "{column}" = replace("{column}", ?1, ?2) where instr("{column}", ?1)'
                opened.execute(change, (before, after))
    return Project(target)


def ran(output: str) -> list[str]:
    """Names of the stages that DVC says it ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


def opened(project: Project) -> contextlib.closing[sqlite3.Connection]:
    """MLflow's database; whoever writes to it at the moment is waited for."""
    return contextlib.closing(sqlite3.connect(project.root / "mlflow.db", timeout=PATIENCE))


def runs(project: Project) -> list[tuple[str, str]]:
    """(name, status) of every run in MLflow that is not deleted."""
    with opened(project) as database:
        query = "select name, status from runs where lifecycle_stage = 'active'"
        return sorted(database.execute(query).fetchall())


def registered(project: Project) -> list[tuple[str, int]]:
    """(name, version) of every model in MLflow's registry."""
    with opened(project) as database:
        return sorted(database.execute("select name, version from model_versions").fetchall())


def metrics(project: Project, method: str) -> bytes:
    """The scores of a method."""
    return (project.root / f"metrics/demo/{method}.json").read_bytes()


def warnings(output: str) -> list[str]:
    """Lines of a command's output that warn."""
    return [line for line in output.splitlines() if "WARNING" in line]
