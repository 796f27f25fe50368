"""Two drawn corpora: what is known of them, and what methods must and must not do on them."""

import numpy as np
import pytest

from benchmarks.claim.corpora import Corpus
from benchmarks.claim.runs import carry_out
from benchmarks.controls import ROWS, scores
from cmarr.corpora.controls import CLASSES, DISTANCE, Options, best_rates, features, frames, read
from cmarr.folds.split import split
from cmarr.methods.registry import method_names
from cmarr.modalities import CONDITIONS, INCOMPLETE

FEW = {"labelled": 100, "unlabelled": 300, "validation": 40, "test": 200}


def incomplete(found: dict[str, float]) -> float:
    return float(np.mean([found[c] for c in INCOMPLETE]))


def test_in_the_first_pairs_are_never_seen_with_a_label(tmp_path):
    utterances, rejected = read(tmp_path, Options(**FEW))
    assert not rejected
    train = [u for u in utterances if u.split == "train"]
    assert {(u.label is None, *(u.source(m) is not None for m in "svt")) for u in train} == {
        (False, False, False, True),
        (True, True, True, True),
    }
    (fold,) = split(utterances, "official", classes=CLASSES)
    assert (len(fold.train), len(fold.validation), len(fold.test)) == (400, 40, 200)


def test_in_the_second_everything_is_there():
    utterances, _ = read(None, Options(control="nothing", **FEW))
    assert len(utterances) == 340
    assert all(u.label and u.audio and u.video and u.text for u in utterances)


@pytest.mark.parametrize("control", ["recovery", "nothing"])
def test_the_best_rate_is_that_of_the_posterior(control):
    """Of the true model, its posterior applied to eight thousand utterances."""
    options = Options(control=control, labelled=1, unlabelled=1, validation=1, test=8_000)
    drawn = frames(options)
    test = [u for u in read(None, options)[0] if u.split == "test"]
    truth = np.array([CLASSES.index(u.label) for u in test])
    points = {m: np.stack([drawn[m][u.id].mean(0) for u in test]) for m in "svt"}
    for condition, rate in best_rates(control).items():
        x = np.concatenate([points[m] for m in condition], 1)
        means = [x[truth == k].mean(0) for k in (0, 1)]
        within = sum(np.cov(x[truth == k].T) for k in (0, 1)) / 2
        direction = np.linalg.pinv(within, rcond=1e-6) @ (means[1] - means[0])
        found = ((x - (means[0] + means[1]) / 2) @ direction > 0) == (truth == 1)
        assert found.mean() == pytest.approx(rate, abs=0.01)


def test_features_come_from_the_seed_alone():
    one, same, other = (features(None, "s", Options(seed=s, **FEW)) for s in (0, 0, 1))
    utterances, _ = read(None, Options(**FEW))
    with_speech = [u for u in utterances if u.audio]
    first, second, third = (next(own.encode(with_speech)).frames for own in (one, same, other))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def asked(out, control: str, *rows: str, seed: int = 0) -> list[dict[str, float]]:
    """Condition -> UAR of each of the rows, trained as the pipeline does on a small draw."""
    drawn = Corpus(control, f"control_{control}", (("seed", seed), *FEW.items()))
    carry_out(drawn, rows, (0,), out, workers=1)
    return [scores(drawn, row, out) for row in rows]


def test_where_recovery_must_help_it_does_and_comes_near_the_optimum(tmp_path):
    gaussian, recovered, zeros, linear = asked(
        tmp_path, "recovery", "gaussian", "recovered", "recovered_zeros", "linear"
    )
    best = best_rates("recovery")
    for blind in (zeros, linear):  # speech alone was never seen with a label
        assert blind["s"] == pytest.approx(0.5, abs=0.1)
    for recovering in (gaussian, recovered):
        assert incomplete(recovering) > incomplete(linear) + 0.1
        assert all(recovering[c] <= best[c] + 0.05 for c in CONDITIONS)
    assert incomplete(gaussian) > np.mean([best[c] for c in INCOMPLETE]) - 0.06


def test_where_it_cannot_help_it_does_not(tmp_path):
    twin, own = asked(tmp_path, "nothing", "recovered_zeros", "recovered", seed=1)
    assert abs(incomplete(own) - incomplete(twin)) < 0.02
    assert DISTANCE["t"] == 3.0 and own["t"] <= best_rates("nothing")["t"] + 0.05


@pytest.mark.slow
def test_a_network_that_recovers_learns_from_pairs_without_a_label(tmp_path):
    (found,) = asked(tmp_path, "recovery", "cmarr_direct")
    assert found["s"] > 0.65


def test_every_method_is_run_on_both():
    assert set(method_names()) <= set(ROWS)
