"""A method of our own against the field, as docs/claim.md has it.

    python -m benchmarks.claim run --size 240                  every method and seed, a day on two cores
    python -m benchmarks.claim run --size 240 --seeds 1 --method gaussian --method masked
    python -m benchmarks.claim keep --size 240                 results/claim/240.json from what was answered so far

Corpora are generated and extracted once, below the folder `--out`, and every training's answers are kept by
themselves: a run may be killed at any moment and goes on where it stopped. First every method with seed 0, then with
seed 1, and so on, so that a run that has to stop leaves whole tables. After a change of code take another folder.
"""

from pathlib import Path

from benchmarks.claim.plan import CONFIRMING, METHODS, SEEDS, TUNING
from benchmarks.claim.runs import carry_out
from benchmarks.claim.table import keep
from benchmarks.records import command_line


def main() -> None:
    """Read the command line and do it."""
    sizes = {**CONFIRMING, "tuning": TUNING}
    parser = command_line(__doc__)
    parser.add_argument("command", choices=("run", "keep"))
    parser.add_argument(
        "--size", choices=sizes, action="append", help="of the corpora (may be repeated; all)"
    )
    parser.add_argument("--method", action="append", help="(may be repeated; all)")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of each training: 0, 1, ...")
    parser.add_argument("--corpora", type=int, default=5, help="how many of a size, the first ones")
    parser.add_argument("--workers", type=int, default=1, help="processes that make a corpus")
    names = [corpus.name for corpora in sizes.values() for corpus in corpora]
    parser.add_argument("--corpus", choices=names, metavar="NAME", help="one of them, by its name")
    parser.add_argument(
        "--out", type=Path, default=Path(".cmarr/claim"), help="folder of the corpora and answers"
    )
    asked = parser.parse_args()
    methods = tuple(asked.method or METHODS)
    for size in asked.size or CONFIRMING:
        corpora = [c for c in sizes[size][: asked.corpora] if asked.corpus in (None, c.name)]
        if asked.command == "keep":
            keep(size, corpora, methods, asked.out)
            continue
        for seed in SEEDS[: asked.seeds]:
            for corpus in corpora:
                carry_out(corpus, methods, (seed,), asked.out, asked.workers)


if __name__ == "__main__":
    main()
