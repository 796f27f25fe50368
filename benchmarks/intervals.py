"""How often do the intervals hold the truth, and how often is a difference shown that is not there?

    python -m benchmarks.intervals [SIMULATIONS]

Draws studies from a model of speakers: leave-one-session-out with two speakers a session, every speaker as easy for
a method as chance decides, utterances of four classes; and puts them through the very functions of the report. The
first table counts how often the 95 % interval of the headline (mean UAR over folds) holds its expectation, the
second how often one of two equally good methods is shown to be better.
"""

import sys

import numpy as np
import pandas as pd

from cmarr.evaluation.comparison import compare
from cmarr.evaluation.predictions import predictions_frame
from cmarr.evaluation.summary import summarise
from cmarr.report.table import plain_table
from cmarr.task import Task

TASK = Task(("angry", "happy", "neutral", "sad"))
CLUSTERS = (4, 6, 10, 20, 40)
UTTERANCES = 24
"""Of a speaker."""
SPREAD = 0.8
"""Standard deviation over speakers of the log odds of a right answer."""


def study(draw: np.random.Generator, speakers: int, methods: int = 1) -> list[list[pd.DataFrame]]:
    """The predictions of methods on one corpus, a list of folds each; method and speaker alone decide how good."""
    out: list[list[pd.DataFrame]] = [[] for _ in range(methods)]
    shared = draw.normal(0, SPREAD, speakers)
    for fold in range(speakers // 2):
        own = np.repeat([2 * fold, 2 * fold + 1], UTTERANCES)
        truth = draw.integers(4, size=len(own))
        for frames in out:
            odds = 0.5 + (shared + draw.normal(0, SPREAD, speakers))[own]
            right = draw.random(len(own)) < 1 / (1 + np.exp(-odds))
            chosen = np.where(right, truth, (truth + draw.integers(1, 4, len(own))) % 4)
            names = [f"speaker{i}" for i in own]
            frames.append(
                predictions_frame(
                    ids=[f"u{i}" for i in range(len(own))],
                    speakers=names,
                    clusters=names,
                    labels=[TASK.classes[i] for i in truth],
                    n_usable={"t": np.ones(len(own), int)},
                    task=TASK,
                    prior=[0.25] * 4,
                    fold=fold,
                    seed=0,
                    probabilities={"t": np.eye(4)[chosen]},
                )
            )
    return out


def coverage(speakers: int, simulations: int, resamples: int = 500) -> float:
    """Share of the simulated studies whose interval holds the mean of all headlines."""
    cells = []
    for i in range(simulations):
        frames = study(np.random.default_rng([speakers, i]), speakers)[0]
        cells.append(summarise(frames, TASK, resamples=resamples)["UAR"]["t"])
    expected = np.mean([cell["mean"] for cell in cells])
    return float(np.mean([cell["lo"] <= expected <= cell["hi"] for cell in cells]))


def false_positives(speakers: int, simulations: int, resamples: int = 500) -> dict[str, float]:
    """Shares of the studies of two equally good methods: interval without zero, p below 0.05, difference shown."""
    cells = []
    for i in range(simulations):
        first, second = study(np.random.default_rng([speakers, i, 1]), speakers, 2)
        cells.append(compare(first, second, TASK, resamples=resamples)["UAR"]["t"])
    return {
        "interval without zero": float(np.mean([not cell["lo"] <= 0 <= cell["hi"] for cell in cells])),
        "p < 0.05": float(np.mean([cell["p"] < 0.05 for cell in cells])),
        "shown": float(np.mean([cell["shown"] != 0 for cell in cells])),
    }


def main() -> None:
    """Print both tables."""
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rows = [
        {"speakers": n, "coverage": coverage(n, simulations)} | false_positives(n, simulations)
        for n in CLUSTERS
    ]
    print(f"{simulations} studies a row; wanted: coverage 0.95, shown at most 0.05\n")
    print(plain_table(pd.DataFrame(rows), digits=3))


if __name__ == "__main__":
    main()
