"""Time the authors' public classes beside ours.

    git clone https://github.com/AIM3-RUC/MMIN theirs/MMIN         and the others, as `--list` prints them
    python -m benchmarks.peers --checkout theirs                   the table, and benchmarks/results/peers.json

Training steps (losses, backward, Adam) of both in turns, on the same tensors and masks, one thread each; the published
sizes. Where the weights of both have the same shapes, theirs are set to ours and the logits of complete utterances are
compared. **The code of the checkouts is run**, each in a process of its own. A class that cannot be built is a row that
says why. Nothing else should run on the machine meanwhile.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.machine import gflops, machine, sentence
from benchmarks.peers import table
from benchmarks.peers.beside import measured
from benchmarks.peers.theirs import PEERS
from benchmarks.records import RESULTS, keep


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkout", type=Path, help="folder of the checkouts, each in a folder of its name")
    parser.add_argument("--list", action="store_true", help="print what to check out, and end")
    parser.add_argument(
        "--only", nargs="*", default=list(PEERS), choices=list(PEERS), help="rows of the table"
    )
    parser.add_argument("--steps", type=int, default=5, help="steps measured a method")
    parser.add_argument(
        "--patience", type=float, default=600, help="seconds that one step of theirs may take"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"git clone https://github.com/{PEERS[name].repository}" for name in options.only))
        return
    if options.checkout is None or not options.checkout.is_dir():
        parser.error(
            f"--checkout: {options.checkout or 'nothing'} is no folder; it holds the authors' repositories"
        )
    if options.steps < 1:
        parser.error("--steps: at least one")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        on = machine()
        runs = {
            n: measured(n, PEERS[n], options.checkout, options.steps, options.patience) for n in options.only
        }
        results = {"machine": on, "gflops_after": gflops(), "steps": options.steps, "runs": runs}
    finally:
        torch.set_num_threads(before)
    print(f"{sentence(on)}, {results['gflops_after']:.0f} afterwards\n\n{table(results)}")
    keep("peers", results, options.results)


if __name__ == "__main__":
    main()
