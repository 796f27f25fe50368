"""How often does a table show a difference that is not there, how often one that is, and do intervals hold the truth?

    python -m benchmarks.familywise                 the tables, and benchmarks/results/familywise.json; half an hour
    python -m benchmarks.familywise --studies 50    a glance

Draws studies and puts them through the comparison of the report. Drawn are scores: what a method scores with a speaker
under each of seven conditions, half of its deviation shared by these, and what a seed changes, for all speakers and for
single ones. A seed moves a study's avg6 by 1.9 or 0.7 points (the deviations of CM-ARR and `masked` on the demo) or by
nothing, in turn; a difference of the first two then varies about 1.2 times as much over the seeds of single trainings
as over ten speakers. In expectation all methods are equally good, but for the last table's.

after        share of the tables in which anything is shown: wanted at most 0.05, but for seeds `1 of many`
before       the same by the rule that stood before: each row by itself, Holm over the comparisons of the better of
             two methods, speakers alone; in a third of the studies
rows         1: avg6; 9: the table of results
skew         some speakers are far worse than the rest
seeds        `1`: one training, and the models are equally good in expectation, as a verdict on trained models assumes;
             `1 of many`: one training, whose chance is not seen: why it is no verdict on methods; 2, 3, 5: trainings
held         share of the 95 % intervals (of a method's score, of a difference) that hold what is expected
power        a method three points better than its equals: share of the comparisons in avg6 in which that is shown
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import machine
from benchmarks.records import command_line, keep
from cmarr.evaluation.comparison import ALPHA, compare_statistics
from cmarr.evaluation.max_t import own_p, swapped_t
from cmarr.evaluation.resampling import interval, over_seeds, seed_variance, swaps
from cmarr.evaluation.scores import metrics_of
from cmarr.evaluation.sufficient_statistics import SEVEN, Axis, SufficientStatistics
from cmarr.evaluation.summary import resampled
from cmarr.modalities import CONDITIONS, INCOMPLETE
from cmarr.report.table import markdown_table
from cmarr.task import Task

TASK = Task(("angry", "happy", "neutral", "sad"))
AVG6 = Axis("condition", CONDITIONS, {"avg6": INCOMPLETE}, ("avg6",))
AXES = {1: AVG6, 9: SEVEN}
"""Rows of a table -> its axis."""

LEVEL = 0.7
"""What every method scores in expectation."""
SPEAKER = 0.052
"""Deviation over speakers, of a method and condition, and of its difference from what every method scores with them."""
SEEDS = (0.024, 0.006, 0.0)
"""Of all speakers, over the seeds, in turn: with what follows 1.9 and 0.7 points in avg6, and none."""
FLICKER = 0.04
"""Of single speakers, over the seeds of a method that has any chance."""
POINTS = 0.03


class Scores(SufficientStatistics):
    """A score (UAR) a seed, condition and speaker: sums (1, S, P, C, 1); other metrics have no number."""

    def _metrics(self, fold: int, totals: np.ndarray) -> np.ndarray:
        out = np.full((len(metrics_of(TASK)), *totals.shape[1:]), np.nan)
        out[UAR] = totals[0] / len(self.clusters)
        return out


UAR = metrics_of(TASK).index("UAR")


def study(
    draw: np.random.Generator,
    *,
    methods: int,
    clusters: int,
    seeds: int,
    rows: int = 9,
    skew: bool = False,
    gain: float = 0.0,
    chance: float = 1.0,
) -> dict[str, SufficientStatistics]:
    """What some methods score on one corpus.

    skew: some speakers are far worse than the rest. gain: what the first method is better by. chance: factor on what
    seeds change.
    """
    conditions = len(CONDITIONS)

    def effect(count: int) -> np.ndarray:
        """(count, P) numbers of variance 1, half of it shared by the conditions: normal, or shifted log-normal."""
        drawn = (draw.normal(size=(count, 1)) + draw.normal(size=(count, conditions))) * 0.5**0.5
        skewed: np.ndarray = (np.exp(0.5) - np.exp(drawn)) / (np.e * (np.e - 1)) ** 0.5
        return skewed if skew else drawn

    shared = LEVEL + SPEAKER * effect(clusters)
    out: dict[str, SufficientStatistics] = {}
    for m in range(methods):
        spread = chance * SEEDS[m % len(SEEDS)]
        flicker = (spread > 0) * FLICKER * draw.normal(size=(seeds, clusters, conditions))
        scores = (
            shared + SPEAKER * effect(clusters) + spread * effect(seeds)[:, None] + flicker + gain * (m == 0)
        )
        out[f"method{m}"] = Scores(
            scores.swapaxes(1, 2)[None, ..., None],
            np.ones((1, conditions), bool),
            (0,),
            tuple(range(seeds)),
            tuple(f"speaker{c:02d}" for c in range(clusters)),
            TASK,
            AXES[rows],
        )
    return out


def studies(count: int, key: Sequence[int], **options: Any) -> Iterator[dict[str, SufficientStatistics]]:
    """`count` of them, the same whenever they are drawn."""
    for i in range(count):
        yield study(np.random.default_rng([*key, i]), **options)


def shown(own: Mapping[str, SufficientStatistics], resamples: int) -> bool:
    """Whether the table shows any difference."""
    found = compare_statistics(own, list(combinations(own, 2)), resamples=resamples)
    return any(cell["shown"] for cells in found.values() for cell in cells["UAR"].values())


def shown_before(own: Mapping[str, SufficientStatistics], resamples: int) -> bool:
    """The same by the former rule."""
    drawn = {name: resampled(one, resamples=resamples) for name, one in own.items()}
    found = {}
    for a, b in combinations(own, 2):
        clusters = len(own[a].clusters)
        under = own[a].swapped(own[b], swaps(clusters)).reshape(-1, len(drawn[a]))
        t, _ = swapped_t(under, np.full(len(drawn[a]), clusters))
        found[a, b] = under[0], own_p(t, t[0]), *interval(drawn[a] - drawn[b], clusters)
    count = len(own["method0"].axis.rows)
    for v in range(UAR * count, (UAR + 1) * count):
        for method in own:
            family = [pair for pair in found if method in pair]
            corrected = _holm([found[pair][1][v] for pair in family])
            for pair, p in zip(family, corrected, strict=True):
                difference, lo, hi = (found[pair][i][v] for i in (0, 2, 3))
                if method == pair[int(difference <= 0)] and p < ALPHA and not lo <= 0 <= hi:
                    return True
    return False


def _holm(p: Sequence[float]) -> list[float]:
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    return [float(x) for x in adjusted[np.argsort(order, kind="stable")]]


def false(count: int, *, resamples: int, **options: Any) -> dict[str, float]:
    """Shares of the studies without a difference in which one is shown; `before`: in the first third of them."""
    first = studies(max(count // 3, 1), (0,), **options)
    before = np.mean([shown_before(own, resamples) for own in first])
    after = np.mean([shown(own, resamples) for own in studies(count, (0,), **options)])
    return {"after": float(after), "before": float(before)}


def power(count: int, *, resamples: int, gain: float = POINTS, **options: Any) -> dict[str, float]:
    """Share of a three points better method's comparisons, UAR in avg6, in which it is shown to be better."""
    wins = []
    for own in studies(count, (1,), gain=gain, **options):
        found = compare_statistics(own, list(combinations(own, 2)), resamples=resamples)
        wins += [found["method0", other]["UAR"]["avg6"]["shown"] == 1 for other in own if other != "method0"]
    return {"power": float(np.mean(wins))}


def held(count: int, *, clusters: int, seeds: int, resamples: int) -> dict[str, float]:
    """Shares of the intervals of a method's UAR (avg6), and of a difference, that hold what is expected."""
    bounds, zero = [], []
    for own in studies(count, (2,), methods=2, clusters=clusters, seeds=seeds, rows=1):
        one = own["method0"]
        by_seed = one.by_seed().reshape(seeds, -1)
        drawn = interval(resampled(one, resamples=resamples), clusters)
        bounds.append([b[UAR] for b in over_seeds(*drawn, by_seed.mean(0), [seed_variance(by_seed)])])
        cell = compare_statistics(own, [("method0", "method1")], resamples=resamples)["method0", "method1"][
            "UAR"
        ]["avg6"]
        zero.append(cell["lo"] <= 0 <= cell["hi"])
    lo, hi = np.array(bounds).T
    return {"method": float(np.mean((lo <= LEVEL) & (hi >= LEVEL))), "difference": float(np.mean(zero))}


EQUAL, SINGLE = "1", "1 of many"
TABLES = [
    *(
        {"methods": 2, "rows": rows, "clusters": 10, "skew": skew, "seeds": seeds}
        for rows in (1, 9)
        for skew in (False, True)
        for seeds in (EQUAL, SINGLE, 2, 3, 5)
    ),
    *(
        {"methods": 9, "rows": 1, "clusters": 10, "skew": True, "seeds": seeds}
        for seeds in (EQUAL, SINGLE, 5)
    ),
    *(
        {"methods": 9, "rows": 9, "clusters": 10, "skew": True, "seeds": seeds}
        for seeds in (EQUAL, SINGLE, 2, 5)
    ),
    *(
        {"methods": 9, "rows": 9, "clusters": clusters, "skew": True, "seeds": seeds}
        for clusters in (4, 5)
        for seeds in (EQUAL, 5)
    ),
    *(
        {"methods": 2, "rows": 9, "clusters": 20, "skew": True, "seeds": seeds}
        for seeds in (EQUAL, SINGLE, 5)
    ),
]
INTERVALS = [{"clusters": clusters, "seeds": seeds} for clusters in (6, 10, 20) for seeds in (2, 3, 5)]
POWER = [
    {"methods": methods, "rows": 9, "clusters": clusters, "seeds": seeds}
    for methods, clusters in ((2, 10), (2, 20), (9, 10))
    for seeds in (2, 3, 5)
]


def drawn_with(seeds: str | int) -> dict[str, Any]:
    """What `study` is asked for."""
    return (
        {"seeds": 1, "chance": 0.0 if seeds == EQUAL else 1.0} if isinstance(seeds, str) else {"seeds": seeds}
    )


def table(found: Mapping[str, Any]) -> str:
    """The three tables, in percent."""
    heads = {
        "false": "Of studies in which all methods are equally good, those in whose table something is shown",
        "held": "Of 95 % intervals, those that hold what is expected",
        "power": "Of comparisons with a method that is three points better, in avg6, those in which that is shown",
    }
    parts = []
    for name, head in heads.items():
        frame = pd.DataFrame(found[name]).drop(columns=["studies", *(["rows"] if name == "power" else [])])
        shares = (
            ["before", "after"]
            if name == "false"
            else ["method", "difference"]
            if name == "held"
            else ["power"]
        )
        for column in shares:
            frame[column] = [f"{100 * share:.1f} %" for share in frame[column]]
        if "skew" in frame:
            frame["skew"] = ["yes" if skew else "no" for skew in frame["skew"]]
        words = {"clusters": "speakers", "method": "of a method", "difference": "of a difference"}
        parts.append(f"{head}:\n\n{markdown_table(frame.rename(columns=words))}")
    return "\n".join(parts) + f"\n{found['studies']} studies a row, a third of them for `before`."


def main() -> None:
    """Print the three tables, and keep them."""
    parser = command_line(__doc__)
    parser.add_argument("--studies", type=int, default=400, help="a row")
    parser.add_argument("--resamples", type=int, default=500, help="of an interval")
    asked = parser.parse_args()
    found: dict[str, Any] = {"studies": asked.studies, "machine": machine()}

    for name, rows, measured in (
        ("false", TABLES, false),
        ("held", INTERVALS, held),
        ("power", POWER, power),
    ):
        found[name] = []
        for row in rows:
            n = asked.studies
            shares = measured(n, resamples=asked.resamples, **{**row, **drawn_with(row["seeds"])})
            found[name].append({**row, "studies": n, **shares})
            print(".", end="", flush=True)
    print(f"\n\n{table(found)}")
    keep("familywise", found)


if __name__ == "__main__":
    main()
