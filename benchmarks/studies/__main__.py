"""The studies behind the tables of README and docs: run them, keep what they found, write the pages.

    python -m benchmarks.studies                      which there are, and what each one needs
    python -m benchmarks.studies run                  those that are out of date, one after the other (make tables)
    python -m benchmarks.studies run demo --force     one of them
    python -m benchmarks.studies publish demo         keep the study of this folder as results/demo.json
    python -m benchmarks.studies pages                write README's and docs' tables and pictures (make format does)

A run may be killed at any moment and started again: DVC keeps every stage that is done, a training goes on from its
last epoch. It happens in a copy of the commit (.cmarr/studies), so that the working tree can be worked in meanwhile;
with --nice 10, the default, it gets the time that nobody else wants.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import command_line
from benchmarks.studies.copy import COPY, Copy
from benchmarks.studies.grid import run_points
from benchmarks.studies.plan import RESULTS, ROOT, Planned, planned, study
from benchmarks.studies.store import Stored, stored
from cmarr.errors import UserError
from cmarr.files import read_json


def main() -> None:
    """Read the command line and do it."""
    parser = command_line(__doc__)
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run", help="run and keep the studies that are out of date")
    run.add_argument("names", nargs="*", help="studies of results/studies.yaml (default: all)")
    run.add_argument("--force", action="store_true", help="also what is up to date")
    run.add_argument("--nice", type=int, default=10, help="as of nice(1)")
    run.add_argument("--minutes", type=float, default=float("inf"), help="after which no study is begun")
    run.add_argument("--workers", default="auto", help="processes side by side: auto, or a number")
    run.add_argument("--copy", type=Path, default=COPY, help="folder of the copy")
    run.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    publish = commands.add_parser("publish", help="keep the study that was run in this folder")
    publish.add_argument("name")
    publish.add_argument("--out", type=Path, default=RESULTS)
    commands.add_parser("pages", help="write the tables and pictures of README and docs")
    options = parser.parse_args()
    if options.command == "run":
        run_studies(options)
    elif options.command == "publish":
        keep(study(options.name, Path.cwd()), options.out)
    elif options.command == "pages":
        from benchmarks.studies.pages import write_pages

        write_pages()
    else:
        for own in planned().values():
            print(state(own))


def state(own: Planned) -> str:
    """A line about a study: whether there is a result, of what, from when, what it took."""
    found = stored(own.name)
    if found is None:
        return f"{own.name:<16} not run yet      {own.command}"
    told = found.content
    changed = "" if told["set"] == dict(own.set) else "   (the plan has changed since)"
    return (
        f"{own.name:<16} {told['date']}, commit {told['commit']}, {sum(told['costs'].values()) / 60:.0f} core-minutes "
        f"of training{changed}"
    )


def run_studies(options: argparse.Namespace) -> None:
    """Run what is out of date, in the order of the plan."""
    os.nice(options.nice)
    chosen = [study(name) for name in options.names] or list(planned().values())
    copy = Copy(options.copy.resolve(), ROOT)
    with copy.alone():
        run_in(copy, chosen, options)


def run_in(copy: Copy, chosen: Sequence[Planned], options: argparse.Namespace) -> None:
    """The same in a copy that nobody else uses; one that fails keeps none of the others from being run."""
    head, failed = copy.at_head(), []
    workers = int(options.workers) if options.workers.isdigit() else options.workers
    ends = time.time() + 60 * options.minutes
    for own in chosen:
        if time.time() > ends:
            print(f"{own.name}: not begun, the {options.minutes:g} minutes are over", flush=True)
            continue
        began = time.time()
        try:
            copy.prepare(own, workers)
            copy.dvc("repro", "--quiet", "settings")
            if not options.force and up_to_date(stored(own.name, options.out), own, copy):
                print(f"{own.name}: up to date", flush=True)
                continue
            print(f"{own.name}: running at commit {head[:10]}", flush=True)
            if own.grid:
                run_points(copy, own, workers)
            copy.dvc("repro", "report")
            copy.python("benchmarks.studies", "publish", own.name, "--out", str(options.out.resolve()))
        except UserError as error:
            print(f"{own.name}: {error}", flush=True)
            failed.append(own.name)
            continue
        print(f"{own.name}: done, {(time.time() - began) / 60:.1f} minutes", flush=True)
    if failed:
        raise UserError(f"not done: {', '.join(failed)}; what was wrong stands above")


def up_to_date(found: Stored | None, own: Planned, copy: Copy) -> bool:
    """Whether the kept result is of these settings, this code and this plan."""
    from benchmarks.studies.publish import made_of

    if (
        found is None
        or found.content["set"] != dict(own.set)
        or set(found.content["tables"]) != set(own.tables)
    ):
        return False
    return bool(found.content["made_of"] == made_of(own.dataset, copy.root))


def keep(own: Planned, out: Path) -> None:
    """Write the result of the study that was run in this folder."""
    from benchmarks.studies.publish import content
    from benchmarks.studies.store import place, write

    found = read_json(Path("data", own.dataset, "settings/report.json"))
    for key in ("methods", "seeds"):
        if key in own.set and list(found[key]) != list(own.set[key]):
            told = ", ".join(map(str, found[key]))
            raise UserError(
                f"{own.name}: what was run here has the {key} {told}; run its plan:\n{own.command}"
            )
    write(own.name, content(own), out)
    print(f"{place(own.name, out)}: written")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"studies: {error}")
