"""The predictions that a DVC experiment, a git revision or the workspace holds, copied out of it.

`cmarr compare` runs this. Nothing in the workspace changes: what a revision holds is read from DVC's cache.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cmarr.errors import UserError, did_you_mean, require_known
from cmarr.extras import extra
from stages.paths import Paths

WORKSPACE = "workspace"
MEASURED = ".recovery"
"""Ending of the folders beside the predictions that hold something else (the stage `recovery`)."""


def copy_predictions(revision: str, dataset: str, folder: Path, methods: Sequence[str]) -> None:
    """Copy the predictions of the named methods, or of all, to `folder`/<method>/.

    Raises UserError for a revision, dataset or method that is not there, and for predictions that are not in
    DVC's cache.
    """
    source = Paths(dataset).data / "predictions"
    if revision == WORKSPACE:
        there = {p.name: p for p in source.glob("*") if p.is_dir()} if source.is_dir() else {}
        for name in _chosen(there, methods, revision, dataset):
            shutil.copytree(there[name], folder / name)
        return
    with extra("study"):
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
        from dvc_data.index import DataIndexDirError

    try:
        held = DVCFileSystem(".", rev=revision)
        names = [Path(path).name for path in _listed(held, source)]
    except DvcException as error:
        raise UserError(_unknown(revision, error)) from None
    for name in _chosen(names, methods, revision, dataset):
        try:
            held.get(str(source / name), str(folder / name), recursive=True)
        except (FileNotFoundError, DataIndexDirError, DvcException):
            raise UserError(
                f"{revision}: the predictions of {name} are not in DVC's cache: nothing had run there, or `dvc gc` "
                f"removed them. `dvc fetch` brings them where there is a remote; else {_way_to(revision)}"
            ) from None


def _listed(held: Any, source: Path) -> list[str]:
    try:
        return [entry["name"] for entry in held.ls(str(source), detail=True) if entry["type"] == "directory"]
    except FileNotFoundError:
        return []


def _chosen(there: Iterable[str], methods: Sequence[str], revision: str, dataset: str) -> Sequence[str]:
    known = sorted(name for name in there if not name.endswith(MEASURED))
    if not known:
        raise UserError(
            f"{revision} holds no predictions of the dataset {dataset}: name another one with --dataset, or "
            f"{_way_to(revision)}"
        )
    for name in methods:
        there = f"there are {', '.join(known)}"
        require_known(name, known, f"{revision} holds no predictions of {name!r}; {there}")
    return methods or known


def _unknown(revision: str, error: Exception) -> str:
    known = _names()
    if revision in known:
        return f"{revision}: DVC cannot read it: {error}"
    told = f"; there are {', '.join(known)}" if 0 < len(known) <= 20 else ""
    return f"no experiment or git revision is called {revision!r}{did_you_mean(revision, known) or told}"


def _names() -> list[str]:
    """Experiments, branches and tags, the experiments first."""
    listed = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname)", "refs/exps", "refs/heads", "refs/tags"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    own = [ref.split("/", 4)[-1] for ref in listed if ref.startswith("refs/exps/") and ref.count("/") == 4]
    return [*own, *(ref.split("/", 2)[-1] for ref in listed if not ref.startswith("refs/exps/")), WORKSPACE]


def _way_to(revision: str) -> str:
    """How to make what a revision does not hold; git alone does not know an experiment by its name."""
    if revision == WORKSPACE:
        return "make them with `dvc repro`"
    command = ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    known = subprocess.run(command, capture_output=True, check=False).returncode == 0
    there = f"git checkout {revision}" if known else f"dvc exp apply {revision}"
    return (
        f"make them: `{there}`, `dvc repro`, and commit dvc.lock (`dvc exp save -n NAME` gives a name to what the "
        "workspace holds)"
    )


def main() -> None:
    """`python -m stages.experiment REVISION DATASET FOLDER [METHOD ...]`."""
    if len(sys.argv) < 4:
        sys.exit("usage: python -m stages.experiment REVISION DATASET FOLDER [METHOD ...]")
    revision, dataset, folder, *methods = sys.argv[1:]
    try:
        copy_predictions(revision, dataset, Path(folder), methods)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
