"""Where studies are run: a copy of the commit, beside the work of whoever runs them.

A study that changes params.yaml in place would throw away what stands there. The copy is a git worktree; it shares
DVC's cache with the project, and keeps what was computed, so that the next run goes on from it. What a stage has begun
lies below the project's .cmarr/unfinished, as ever: a killed training goes on where it was.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from benchmarks.studies.plan import ROOT, Planned
from cmarr.errors import UserError
from cmarr.files import atomic

KEPT = "dvc.lock"
COPY = ROOT / ".cmarr/studies"


@dataclass(frozen=True)
class Copy:
    """A copy of the project `of` in the folder `root`."""

    root: Path
    of: Path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others out of it: they would change the code under a study. A dead one holds no lock."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root.with_suffix(".lock"), blocking=False):
                yield
        except Timeout:
            raise UserError(f"{self.root}: another run is at work in it; wait for it, or stop it") from None

    def at_head(self) -> str:
        """Make it, or bring it, to the commit that the project is at; which one that is."""
        head = self._git(self.of, "rev-parse", "HEAD")
        if not (self.root / ".git").exists():
            self._git(self.of, "worktree", "prune")
            self._git(self.of, "worktree", "add", "--quiet", "--force", "--detach", str(self.root), head)
        lock = self.root / KEPT
        aside = lock.with_suffix(".kept")
        shutil.copy(lock, aside)
        self._git(self.root, "checkout", "--quiet", "--force", "--detach", head)
        aside.replace(lock)
        cache = self.of / ".dvc/cache"
        self._run(sys.executable, "-m", "dvc", "config", "--quiet", "--local", "cache.dir", str(cache))
        return head

    def prepare(self, study: Planned, workers: int | str = "auto") -> None:
        """Write what the study sets into the copy's params.yaml, over the defaults of the commit."""
        self._git(self.root, "checkout", "--quiet", "--", "params.yaml")
        self.put(study, workers)

    def put(self, study: Planned, workers: int | str) -> None:
        """Change the keys of params.yaml. Raises UserError for one that it does not have."""
        path = self.root / "params.yaml"
        yaml = YAML()
        params = yaml.load(path)
        for key, value in {**study.set, "workers": workers}.items():
            _put(params, key, value)
        with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as opened:
            yaml.dump(params, opened)

    def dvc(self, *arguments: str) -> None:
        """Run DVC in it. Raises UserError where it fails; what it says is on the terminal."""
        if self._run(sys.executable, "-m", "dvc", *arguments, check=False):
            raise UserError(f"dvc {' '.join(arguments)} failed in {self.root}; what it says stands above")

    def python(self, *arguments: str) -> None:
        """Run a module of the copy."""
        self._run(sys.executable, "-m", *arguments)

    def _run(self, *command: str, check: bool = True) -> int:
        own = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "DVC_ROOT": str(self.of)}
        own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        found = subprocess.run(command, cwd=self.root, env=os.environ | own, check=False)
        if check and found.returncode:
            raise UserError(f"{' '.join(command[2:5])} failed in {self.root}; what it says stands above")
        return found.returncode

    @staticmethod
    def _git(folder: Path, *arguments: str) -> str:
        found = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
        if found.returncode:
            raise UserError(f"git {' '.join(arguments)} failed in {folder}: {found.stderr.strip()}")
        return found.stdout.strip()


def _put(params: Any, key: str, value: Any) -> None:
    section = params
    *above, last = key.split(".")
    for part in above:
        if part not in section:
            raise UserError(f"params.yaml has no key {key}; results/studies.yaml sets it")
        section = section[part]
    if last not in section:
        raise UserError(f"params.yaml has no key {key}; results/studies.yaml sets it")
    section[last] = value
