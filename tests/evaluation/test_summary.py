import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cmarr.errors import UserError
from cmarr.evaluation import summary
from cmarr.evaluation.predictions import predictions_frame
from cmarr.evaluation.resampling import bootstrap_interval
from cmarr.evaluation.scores import metrics_of, scores
from cmarr.evaluation.sufficient_statistics import ROWS, gather, sufficient_statistics
from cmarr.evaluation.summary import fold_table, headline, long_table, pooled, summarise
from cmarr.files import canonical_json
from cmarr.modalities import CONDITIONS, INCOMPLETE
from cmarr.task import Task


def by_hand(hits: dict[tuple[int, int], str]) -> list[pd.DataFrame]:
    """(fold, seed) -> one letter an utterance of class a: 'y' answered right, 'n' wrong; all modalities there."""
    frames = []
    for (fold, seed), letters in hits.items():
        n = len(letters)
        answer = np.array([[1.0, 0.0] if letter == "y" else [0.0, 1.0] for letter in letters])
        frames.append(
            predictions_frame(
                ids=[f"f{fold}u{i}" for i in range(n)],
                speakers=["anna"] * n,
                clusters=[f"f{fold}"] * n,
                labels=["a"] * n,
                n_usable={c: np.full(n, len(c)) for c in CONDITIONS},
                task=Task(("a", "b")),
                prior=[0.5, 0.5],
                fold=fold,
                seed=seed,
                probabilities=dict.fromkeys(CONDITIONS, answer),
            )
        )
    return frames


def test_the_headline_is_the_mean_over_folds_then_seeds():
    frames = by_hand({(0, 1): "yn", (0, 2): "yy", (1, 1): "ynnn", (1, 2): "ynnn"})
    cell = summarise(frames, Task(("a", "b")), resamples=50)["WAR"]["st"]
    # Seed 1: (1/2 + 1/4) / 2, seed 2: (1 + 1/4) / 2. Pooled, the larger fold would weigh twice.
    assert cell["mean"] == pytest.approx((3 / 8 + 5 / 8) / 2)
    assert cell["std"] == pytest.approx(
        np.std([3 / 4, 1 / 4], ddof=1), abs=1e-6
    )  # over folds, of their seed means
    assert cell["n"] == 6


def test_folds_and_seeds_have_a_deviation_each_where_there_are_several():
    both = summarise(by_hand({(0, 1): "yn", (0, 2): "yy", (1, 1): "ynnn", (1, 2): "ynnn"}), Task(("a", "b")))
    assert both["WAR"]["t"]["std_seeds"] == pytest.approx(np.std([3 / 8, 5 / 8], ddof=1), abs=1e-6)
    one_fold = summarise(by_hand({(0, 1): "yn", (0, 2): "yy"}), Task(("a", "b")), resamples=50)
    assert one_fold["WAR"]["t"]["std"] is None
    assert one_fold["WAR"]["t"]["std_seeds"] == pytest.approx(np.std([0.5, 1], ddof=1), abs=1e-6)
    single = summarise(by_hand({(0, 1): "yn"}), Task(("a", "b")), resamples=50)
    assert single["WAR"]["t"]["std"] is None
    assert single["WAR"]["t"]["std_seeds"] is None
    assert single["WAR"]["t"]["lo"] is None  # one cluster cannot be resampled


@pytest.mark.parametrize("task", [Task(("anger", "neutral", "sadness")), Task()])
def test_numbers_lie_in_their_intervals_and_repeat(simulate, task):
    frames = simulate(task=task)
    summary = summarise(frames, task, resamples=300)
    for metric in metrics_of(task):
        assert list(summary[metric]) == list(ROWS)
        for cell in summary[metric].values():
            assert cell["lo"] < cell["mean"] < cell["hi"]
    assert summarise(list(reversed(frames)), task, resamples=300) == summary


@pytest.mark.parametrize("task", [Task(("anger", "neutral", "sadness")), Task()])
def test_the_sums_behind_the_intervals_give_the_same_scores(simulate, task):
    """SufficientStatistics re-derive every metric of scikit-learn and SciPy: fold by fold, condition by condition."""
    for frame in simulate(task=task, seeds=(1,)):
        sums = sufficient_statistics(gather(frame), task)
        found = sums.headline(np.ones((1, len(sums.clusters))))[0]
        for row, condition in ((ROWS.index(c), c) for c in CONDITIONS):
            expected = scores(frame[frame["condition"] == condition], task)
            np.testing.assert_allclose(found[:, row], list(expected.values()), atol=1e-12)


def test_drawing_a_cluster_twice_is_having_its_utterances_twice(simulate, emotions):
    frame = simulate(folds=1, seeds=(1,), speakers=3)[0]
    sums = sufficient_statistics(gather(frame), emotions)
    weights = np.array([[2, 0, 1]])
    drawn = pd.concat([frame[frame["cluster"] == sums.clusters[i]] for i in (0, 0, 2)])
    found = sums.headline(weights)[0]
    expected = scores(drawn[drawn["condition"] == "sv"], emotions)
    np.testing.assert_allclose(found[:, ROWS.index("sv")], list(expected.values()))


def test_a_fold_counts_as_often_as_its_clusters_are_drawn(emotions, simulate):
    """A speaker a fold: folds drawn 2, 0 and 1 times have the mean (2 x first + third) / 3."""
    frames = simulate(folds=3, seeds=(1,), speakers=1, absent=0.0)
    sums = sufficient_statistics(gather(frames), emotions)
    own = [scores(frame[frame["condition"] == "sv"], emotions)["UAR"] for frame in frames]
    found = sums.drawn(np.array([[2, 0, 1], [1, 1, 1]]))[
        :, metrics_of(emotions).index("UAR"), ROWS.index("sv")
    ]
    assert found == pytest.approx([(2 * own[0] + own[2]) / 3, np.mean(own)])


def test_an_interval_holds_what_other_seeds_would_change(emotions, simulate, monkeypatch):
    """Three standard errors from three seeds are 4.303 of Student's; trainings that are all the same add nothing."""
    once = simulate(seeds=(1,))
    copies = [frame.assign(seed=seed) for frame in once for seed in (1, 2, 3)]
    one, same, apart = (
        summarise(own, emotions, resamples=200)["UAR"]["avg6"]
        for own in (once, copies, simulate(seeds=(1, 2, 3)))
    )
    assert (same["lo"], same["hi"], same["std_seeds"]) == (one["lo"], one["hi"], 0.0)
    monkeypatch.setattr(summary, "over_seeds", lambda lo, hi, value, seeds: (lo, hi))
    speakers = summarise(simulate(seeds=(1, 2, 3)), emotions, resamples=200)["UAR"]["avg6"]
    reach = 4.302653 * apart["std_seeds"] / 3**0.5
    for bound in ("lo", "hi"):
        within = (speakers[bound] - speakers["mean"]) ** 2
        assert (apart[bound] - apart["mean"]) ** 2 == pytest.approx(within + reach**2, abs=1e-5)


def test_a_fold_of_many_clusters_counts_no_more_than_one_of_few(emotions, simulate):
    """Every cluster drawn once is no resample: folds of one, two and three speakers have the plain mean of the folds.
    Drawn 1; 2, 0; 0, 2, 1 times, the folds count 1, 1 and 1 times; 0; 2, 2; 1, 1, 1 times: 0, 2 and 1."""
    frames = [simulate(folds=f + 1, seeds=(1,), speakers=f + 1, absent=0.0)[f] for f in range(3)]
    sums = sufficient_statistics(gather(frames), emotions)
    assert [name[7] for name in sums.clusters] == list("011222")  # speaker<fold><number>
    weights = np.array([[1, 1, 1, 1, 1, 1], [1, 2, 0, 0, 2, 1], [0, 2, 2, 1, 1, 1]])
    at = metrics_of(emotions).index("WAR"), ROWS.index("sv")
    found = sums.drawn(weights)[:, at[0], at[1]]

    def fold(number: int, times: list[int]) -> float:
        own = replace(sums, sums=sums.sums[[number]], met=sums.met[[number]], folds=(number,))
        return float(own.headline(np.array([times]))[0, at[0], at[1]])

    folds = [[fold(f, list(own)) if f or own[0] else 0.0 for f in range(3)] for own in weights]
    assert found == pytest.approx([np.mean(folds[0]), np.mean(folds[1]), (2 * folds[2][1] + folds[2][2]) / 3])


def test_scores_of_exactly_zero_count_the_same_in_the_sums():
    """Zero is not positive (Acc2), and not negative (Acc2_zero)."""
    values, truth = [0.0, 0.0, 0.0, 1.0, -1.0], [1.0, 2.0, -1.0, 0.0, 0.0]
    frame = predictions_frame(
        ids=[f"u{i}" for i in range(5)],
        speakers=list("abcde"),
        clusters=list("abcde"),
        labels=truth,
        n_usable=dict.fromkeys(CONDITIONS, np.full(5, 3)),
        task=Task(),
        prior=0.0,
        fold=1,
        seed=0,
        logits=dict.fromkeys(CONDITIONS, np.array(values)[:, None]),
    )
    sums = sufficient_statistics(gather(frame), Task())
    found = dict(
        zip(metrics_of(Task()), sums.headline(np.ones((1, 5)))[0, :, ROWS.index("svt")], strict=True)
    )
    assert found["Acc2"] == pytest.approx(1 / 3)
    assert found["Acc2_zero"] == pytest.approx(3 / 5)
    assert found["Acc2"] == scores(frame[frame["condition"] == "svt"], Task())["Acc2"]


def test_the_interval_of_folds_of_one_speaker_is_that_of_a_mean_of_speakers():
    """Twenty folds, an utterance each: the interval is that of the mean of twenty numbers."""
    letters = "yynyynyyynyynnyyynyy"
    frames = by_hand({(fold, 1): letter for fold, letter in enumerate(letters)})
    cell = summarise(frames, Task(("a", "b")), resamples=2000)["WAR"]["st"]
    order = sorted(range(20), key=lambda fold: f"f{fold}")  # clusters stand in the order of their names
    right = np.array([letters[fold] == "y" for fold in order], float)
    lo, hi = bootstrap_interval(lambda weights: (weights @ right / weights.sum(1))[:, None], 20)
    assert (cell["lo"], cell["hi"]) == pytest.approx((lo[0], hi[0]), abs=1e-6)


def test_the_averages_are_means_of_the_conditions_scores(simulate, emotions):
    uar = summarise(simulate(), emotions, resamples=20)["UAR"]
    assert uar["avg6"]["mean"] == pytest.approx(np.mean([uar[c]["mean"] for c in INCOMPLETE]), abs=1e-6)
    assert uar["avg7"]["mean"] == pytest.approx(np.mean([uar[c]["mean"] for c in CONDITIONS]), abs=1e-6)
    assert uar["avg6"]["covers"] == list(INCOMPLETE)


def test_conditions_that_nobody_can_meet_have_no_number_and_leave_the_averages(simulate, emotions):
    summary = summarise(simulate(video=False), emotions, resamples=100)
    for metric in metrics_of(emotions):
        cells = summary[metric]
        empty = {row for row in ROWS if cells[row]["mean"] is None}
        assert empty == {"v", "vt", "sv", "svt"}
        assert all(cells[row]["lo"] is None and cells[row]["n"] == 0 for row in empty)
        assert cells["avg6"]["covers"] == ["t", "s", "st"]
        assert cells["avg6"]["mean"] == pytest.approx(
            np.mean([cells[c]["mean"] for c in ("t", "s", "st")]), abs=1e-6
        )


def test_a_summary_is_json_without_nan(simulate, emotions):
    summary = summarise(simulate(video=False, folds=1, seeds=(1,)), emotions, resamples=20)
    assert json.loads(canonical_json(summary)) == summary


def test_who_has_nothing_usable_is_counted_apart(simulate, emotions):
    frames = simulate(absent=0.3, seeds=(1,))
    cell = summarise(frames, emotions, resamples=20)["WAR"]["t"]
    text = pd.concat(frames).query("condition == 't'")
    assert cell["n"] == (text["n_usable"] > 0).sum() < cell["n_all"] == len(text)
    assert cell["all"] != cell["mean"]


def test_a_fold_without_one_of_the_seeds_is_refused(simulate, emotions):
    with pytest.raises(UserError, match="fold 2, seed 2 are missing"):
        summarise(simulate()[:-1], emotions)


def test_the_pooled_average_is_one_test_set_not_a_mean_of_six(simulate, emotions):
    frame = simulate(folds=1, seeds=(1,), absent=0.3)[0]
    six = frame[frame["condition"].isin(INCOMPLETE) & (frame["n_usable"] > 0)]
    answer = six[[f"p_{c}" for c in emotions.classes]].to_numpy().argmax(1)
    right = np.mean(np.array(emotions.classes)[answer] == six["label"].to_numpy())
    assert pooled(frame, emotions)["WAR"] == pytest.approx(right, abs=1e-6)
    assert pooled(frame, emotions)["WAR"] != summarise(frame, emotions, resamples=20)["WAR"]["avg6"]["mean"]


def test_the_table_of_folds_holds_what_the_headline_averages(simulate, emotions):
    frames = simulate(video=False)
    table, uar = (
        fold_table(frames, emotions).query("metric == 'UAR'"),
        summarise(frames, emotions, resamples=20)["UAR"],
    )
    for row in ("st", "avg6"):
        runs = table[table["condition"] == row]
        assert len(runs) == len(frames)
        assert runs["value"].mean() == pytest.approx(uar[row]["mean"], abs=1e-6)
    assert table[table["condition"] == "v"]["value"].isna().all()


def test_the_long_table_has_a_row_a_metric_and_condition(simulate, emotions):
    table = long_table(summarise(simulate(), emotions, resamples=20), method="cmarr")
    assert list(table.columns[:8]) == [
        "method",
        "metric",
        "condition",
        "mean",
        "std",
        "std_seeds",
        "lo",
        "hi",
    ]
    assert Counter(table["metric"]) == dict.fromkeys(metrics_of(emotions), len(ROWS))


def test_the_headline_has_ten_means_and_no_more(simulate, emotions):
    found = headline(summarise(simulate(), emotions, resamples=20), emotions)
    assert {metric: len(rows) for metric, rows in found.items()} == {"UAR": 8, "WAR": 2}
    assert set(found["WAR"]) == {"avg6", "svt"} and all(
        value == round(value, 4) for rows in found.values() for value in rows.values()
    )
    silent = headline(summarise(simulate(video=False), emotions, resamples=20), emotions)
    assert not any("v" in row for row in silent["UAR"] if row != "avg6")
