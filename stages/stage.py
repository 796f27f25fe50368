"""What every stage does around its work: speak plainly about errors, note how long it took."""

import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cmarr import plugins
from cmarr.budgets import expanded, real
from cmarr.errors import NotComputed, NotWhole, UserError
from cmarr.files import refusal
from cmarr.objects import is_remote
from cmarr.seals import read_json, whole, write_json
from stages import STARTED


def root() -> Path:
    """The DVC repository: the parent one also in an experiment's temporary folder."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def located(setting: str) -> Path:
    """A path in params.yaml, absolute; a relative one is relative to that file.

    An experiment runs in a temporary copy of the repository: what a stage has put into that copy is
    found there, what lies outside the repository is looked for from the repository itself.
    """
    given = expanded(setting)
    if is_remote(given):
        return given
    here = Path.cwd() / given
    inside = real(here).is_relative_to(real(Path.cwd()))
    return real(here if inside else root() / given)


def use_plugins(named: Sequence[str]) -> None:
    """Know the plugins that params.yaml names. Raises UserError for one that is not there any more."""
    plugins.use([str(located(p)) if plugins.is_file(p) else p for p in named])


def work_folder(*parts: str) -> Path:
    """A folder for state that must outlive a killed stage; outside every output, ignored by git."""
    return root().joinpath(".cmarr", *parts)


@contextmanager
def _timed(dataset: str, name: str) -> Iterator[None]:
    yield
    path = work_folder("times", f"{dataset}.json")
    times = read_json(path, "") if whole(path) else {}
    times[name] = {"seconds": time.time() - STARTED, "ended": time.time()}
    write_json(path, times)


def run(stage: Callable[..., None]) -> None:
    """Call `stage` with the command line's arguments, the dataset first.

    A UserError becomes its sentence on standard error and exit status 1, and so does a file or folder that the system
    refuses; anything else is a defect of this product and keeps its traceback.
    """
    name = Path(sys.argv[0]).stem
    arguments = sys.argv[1:]
    wanted = list(inspect.signature(stage).parameters)
    if len(arguments) != len(wanted):
        sys.exit(
            f"usage: python -m stages.{name} {' '.join(w.upper() for w in wanted)}   (dvc repro does it for you)"
        )
    label = "@".join([name, *arguments[1:]])
    try:
        if name != "settings":  # which reads params.yaml itself
            run_settings = Path("data", arguments[0], "settings", "run.json")
            there = run_settings.is_file()
            use_plugins(
                read_json(run_settings, "run `dvc repro settings`").get("plugins", []) if there else []
            )
        with _timed(arguments[0], label):
            stage(*arguments)
    except UserError as error:
        how = (
            " (`dvc repro` computes it, `dvc checkout` brings it back)"
            if isinstance(error, NotComputed)
            else ""
        )
        sys.exit(f"{label}: {error}{_made_again(error) if isinstance(error, NotWhole) else how}")
    except OSError as error:
        told = refusal(error)
        if told is None:
            raise
        sys.exit(f"{label}: {told}")


def _made_again(error: NotWhole) -> str:
    from stages.makes import command

    made = command(error.path)
    return f" (`{made}` makes it again)" if made else ""
