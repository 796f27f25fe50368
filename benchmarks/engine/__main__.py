"""What the training engine costs, part by part; docs/speed.md says what came out.

    python -m benchmarks.engine                    every part, and one JSON file a part in benchmarks/results/
    python -m benchmarks.engine eager --steps 20   one of them, steadier

eager    CM-ARR against the same network in a straightforward loop with a DataLoader
phases   where a step's time goes, method by method
size     an epoch over 1000 to 64000 utterances: seconds and memory
study    an epoch of CM-ARR at IEMOCAP's size, and from that, what five folds of 100 epochs take
startup  from starting Python to the first step of a training
against  a step of an earlier revision and one of the working tree, method by method

Nothing else should run on the machine meanwhile.
"""

from functools import partial
from pathlib import Path

import torch

from benchmarks.engine import against, eager, phases, size, startup, study
from benchmarks.machine import machine, sentence
from benchmarks.records import RESULTS, command_line, keep

PARTS = {
    "eager": eager,
    "phases": phases,
    "size": size,
    "study": study,
    "startup": startup,
    "against": against,
}


def main() -> None:
    """Measure, print and keep."""
    parser = command_line(__doc__)
    parser.add_argument("parts", nargs="*", help=f"parts to run, of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--steps", type=int, default=10, help="steps measured of `eager`, `phases`, `against`"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (`against`: one)")
    parser.add_argument("--before", default=against.BEFORE, help="the earlier revision of `against`")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for part in options.parts or PARTS:
        own = PARTS[part]
        measure = partial(against.measure, before=options.before) if own is against else own.measure
        torch.set_num_threads(1 if own is against else options.threads)
        on = machine()
        found = measure(options.steps)
        print(f"{part}: {sentence(on)}\n\n{own.table(found)}\n", flush=True)
        compared = {"before": options.before} if own is against else {}
        keep(part, {"machine": on, **compared, "result": found}, options.results)


if __name__ == "__main__":
    main()
