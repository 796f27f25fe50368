import numpy as np
import pandas as pd
import pytest

from cmarr.errors import UserError
from cmarr.evaluation.comparison import METHODS, MODELS, compare, compare_all, compare_pairs
from cmarr.evaluation.predictions import columns, read_folder, write_predictions
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import summarise
from cmarr.report.differences import differences
from cmarr.task import Task
from tests.evaluation.conftest import EMOTIONS

SEVERAL = (1, 2, 3)


def test_the_difference_is_that_of_the_headlines_and_turns_its_sign(simulate, emotions):
    strong, weak = simulate(strength=3), simulate(strength=0.2)
    there, back = (
        compare(strong, weak, emotions, resamples=200),
        compare(weak, strong, emotions, resamples=200),
    )
    one, two = (summarise(x, emotions, resamples=20)["UAR"]["avg6"]["mean"] for x in (strong, weak))
    cell, turned = there["UAR"]["avg6"], back["UAR"]["avg6"]
    assert cell["difference"] == pytest.approx(one - two, abs=2e-6)
    assert cell["lo"] < cell["difference"] < cell["hi"]
    assert (turned["lo"], turned["hi"], turned["p"]) == pytest.approx((-cell["hi"], -cell["lo"], cell["p"]))


def test_a_clear_gain_is_shown_and_the_loser_sees_it_as_a_loss(simulate, emotions):
    strong, weak = (simulate(strength=s, folds=4, seeds=SEVERAL) for s in (4, 0.2))
    assert compare(strong, weak, emotions, resamples=300)["UAR"]["avg6"]["shown"] == 1
    assert compare(weak, strong, emotions, resamples=300)["UAR"]["avg6"]["shown"] == -1


def test_a_smaller_error_is_the_better_one(simulate):
    good, bad = (simulate(task=Task(), strength=s, folds=4, seeds=SEVERAL) for s in (0.5, 0.1))
    cell = compare(good, bad, Task(), resamples=300)["MAE"]["avg6"]
    assert cell["difference"] < 0
    assert cell["shown"] == 1


def test_a_method_is_not_better_than_itself(simulate, emotions):
    frames = simulate()
    for metric, rows in compare(frames, frames, emotions, resamples=100).items():
        for cell in rows.values() if metric != "meta" else ():
            assert (cell["difference"], cell["p"], cell["p_table"], cell["shown"]) == (0, 1, 1, 0)
            assert -cell["lo"] == cell["hi"] > 0  # what its seeds change, had each of the two its own


def test_too_few_clusters_show_nothing_however_clear_the_gain(simulate, emotions):
    """With four clusters no p is below 2 / 16."""
    found = compare(
        *(simulate(strength=s, folds=2, seeds=SEVERAL) for s in (4, 0.1)), emotions, resamples=200
    )
    cell = found["UAR"]["avg7"]
    assert cell["lo"] > 0
    assert cell["p"] == pytest.approx(2 / 16)
    assert cell["shown"] == 0
    assert found["meta"] == {"clusters": 4, "exact": True, "of": METHODS}


def test_an_unmet_condition_has_no_difference(simulate, emotions):
    cell = compare(simulate(video=False), simulate(video=False), emotions, resamples=50)["WAR"]["v"]
    nothing = dict.fromkeys(("difference", "lo", "hi", "p", "p_table"))
    assert cell == nothing | {"shown": 0, "of": METHODS}


def test_a_deterministic_method_meets_every_seed_of_the_other(simulate, emotions):
    found = compare(simulate(seeds=(1, 2, 3)), simulate(seeds=(1,), strength=0.5), emotions, resamples=20)
    one, two = (
        summarise(simulate(seeds=s, strength=g), emotions, resamples=20)["WAR"]["s"]["mean"]
        for s, g in (((1, 2, 3), 1.0), ((1,), 0.5))
    )
    assert found["WAR"]["s"]["difference"] == pytest.approx(one - two, abs=2e-6)
    with pytest.raises(UserError, match="3 seeds, the other 2"):
        compare(simulate(seeds=(1, 2, 3)), simulate(seeds=(1, 2)), emotions)


def test_methods_that_answered_other_utterances_are_not_compared(simulate, emotions):
    with pytest.raises(UserError, match="one method only"):
        compare(simulate(), simulate(utterances=19), emotions)
    with pytest.raises(UserError, match="disagree"):
        compare(simulate(), simulate(corpus=1), emotions)


def test_what_is_normalised_by_speaker_is_compared_with_nothing_else(simulate, emotions, tmp_path):
    """It stands in the file, so that experiments, reports and `cmarr compare` know."""
    frames = simulate(), simulate()
    for name, own, how in (("one", frames[0], "speaker"), ("two", frames[1], "corpus")):
        for n, frame in enumerate(own):
            frame.attrs["normalise"] = how
            write_predictions(tmp_path / name / f"fold{n + 1}-seed0.parquet", frame, emotions)
    one, two = read_folder(tmp_path / "one"), read_folder(tmp_path / "two")
    with pytest.raises(UserError, match="sees unlabelled clips"):
        compare(one, two, emotions)
    with pytest.raises(UserError, match="sees unlabelled clips"):
        compare(pd.concat(one), two, emotions)
    turned = [frame.assign(p_anger=frame.p_sadness, p_sadness=frame.p_anger) for frame in two]
    with pytest.raises(UserError, match="cannot be compared: the features"):
        differences(("one", "two"), one, turned)
    assert compare(one, one, emotions)["UAR"]["svt"]["difference"] == 0
    assert compare(two, frames[1], emotions)["UAR"]["svt"]["difference"] == 0


def test_one_error_rate_for_all_rows_pairs_and_metrics_of_a_table(simulate, emotions):
    """p_table is never below p, and grows with what else stands in the table; the order of the methods is nothing."""
    methods = {
        name: simulate(strength=s, folds=4, seeds=SEVERAL) for name, s in (("strong", 4), ("weak", 0.2))
    }
    alone = compare_all(methods, emotions, resamples=50)["strong", "weak"]["UAR"]
    crowd = methods | {
        f"other{i}": simulate(strength=1 + i / 10, folds=4, seeds=(i, i + 9, i + 18)) for i in range(3)
    }
    among = compare_all(crowd, emotions, resamples=50)["strong", "weak"]["UAR"]
    turned = compare_all(dict(reversed(crowd.items())), emotions, resamples=50)["weak", "strong"]["UAR"]
    for row in ROWS:
        assert alone[row]["p"] == among[row]["p"] <= alone[row]["p_table"] <= among[row]["p_table"]
        assert turned[row]["p_table"] == among[row]["p_table"]
        assert turned[row]["difference"] == -among[row]["difference"]
    assert any(alone[row]["p_table"] < among[row]["p_table"] for row in ROWS)


def test_a_difference_is_shown_only_where_its_interval_excludes_zero_too(simulate, emotions, monkeypatch):
    monkeypatch.setattr(
        "cmarr.evaluation.comparison.interval", lambda drawn, n: (drawn.min(1) - 9, drawn.max(1) + 9)
    )
    strong, weak = (simulate(strength=s, folds=4, seeds=SEVERAL) for s in (4, 0.2))
    cell = compare(strong, weak, emotions)["UAR"]["avg6"]
    assert cell["p_table"] < 0.05
    assert cell["lo"] < 0 < cell["hi"]
    assert cell["shown"] == 0


def unsteady(frames, by: dict[int, float]):
    """The same answers, right where seed decides: `by` seed, the share of utterances whose answer is made the truth."""
    out = []
    for frame in frames:
        names = frame["id"].unique()
        share = by[int(frame["seed"].iloc[0])]
        helped = frame["id"].isin(names[7 * np.arange(len(names)) % 20 < 20 * share])
        probabilities = frame[columns(EMOTIONS)].to_numpy().copy()
        truth = np.eye(3)[[EMOTIONS.classes.index(label) for label in frame["label"]]]
        probabilities[helped] = truth[helped]
        out.append(frame.assign(**dict(zip(columns(EMOTIONS), probabilities.T, strict=True))))
    return out


def test_what_training_changes_is_in_interval_and_test(simulate, emotions):
    """The same mean gain, from seeds that agree and from seeds that do not."""
    weak = simulate(strength=0.2, folds=4, seeds=(1, 2, 3))
    steady, jumping = unsteady(weak, {1: 0.5, 2: 0.5, 3: 0.5}), unsteady(weak, {1: 0.05, 2: 0.5, 3: 0.95})
    calm, rough = (compare(own, weak, emotions)["UAR"]["avg6"] for own in (steady, jumping))
    assert calm["difference"] == pytest.approx(rough["difference"], abs=0.05)
    assert calm["shown"] == 1
    assert rough["shown"] == 0
    assert rough["hi"] - rough["lo"] > 3 * (calm["hi"] - calm["lo"])
    assert rough["p"] > calm["p"]


def test_seeds_that_change_nothing_are_no_seeds(simulate, emotions):
    """A deterministic method's five trainings are one: nothing is widened, and the verdict is about the method."""

    def repeated(strength: float, seeds: tuple[int, ...]):
        once = simulate(strength=strength, folds=4, seeds=(1,))
        return [frame.assign(seed=seed) for frame in once for seed in seeds]

    five = compare(repeated(4, (1, 2, 3, 4, 5)), repeated(0.2, (1, 2, 3, 4, 5)), emotions)
    one = {"a": repeated(4, (1,)), "b": repeated(0.2, (1,))}
    single = compare_pairs(one, [("a", "b")], emotions)["a", "b"]
    known = compare_pairs(one, [("a", "b")], emotions, deterministic=["a", "b"])["a", "b"]
    for row in ROWS:
        assert five["UAR"][row] == known["UAR"][row]
        assert single["UAR"][row] == known["UAR"][row] | {"of": MODELS}
    assert (five["meta"]["of"], single["meta"]["of"]) == (METHODS, MODELS)


def test_the_choices_of_one_model_share_its_seeds(simulate, emotions):
    """What a seed does to both is no difference between them."""
    weak = simulate(strength=0.2, folds=4, seeds=(1, 2, 3))
    both = {
        "first": unsteady(weak, {1: 0.1, 2: 0.5, 3: 0.7}),
        "second": unsteady(weak, {1: 0.5, 2: 0.9, 3: 1.0}),
    }
    pair = ("first", "second")
    apart, same = (
        compare_pairs(both, [pair], emotions, same_models=s)[pair]["UAR"]["avg6"] for s in (False, True)
    )
    assert same["hi"] - same["lo"] < (apart["hi"] - apart["lo"]) / 3
    assert same["shown"] == -1
