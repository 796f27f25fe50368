"""Few epochs against many: what is measured, and its table."""

from benchmarks import epochs
from benchmarks.epochs import BUDGETS, measured, table
from tests.benchmarks.test_claim import SMALL
from tests.evaluation.conftest import EMOTIONS, simulated


def test_the_budgets_are_what_is_trained_with_and_the_difference_is_many_minus_few(monkeypatch, tmp_path):
    asked = []

    def answered(run, place, settings, first, work):
        asked.append(
            (
                run.fold,
                settings["train"]["epochs"],
                settings["train"]["patience"],
                first and first["train"]["epochs"],
            )
        )
        strength = 4.0 if settings["train"]["epochs"] == 100 else 0.5
        (frame,) = [
            f for f in simulated(strength=strength, folds=2, seeds=(0,)) if f["fold"].iloc[0] == run.fold
        ]
        return frame, {"best_epoch": 7, "core_seconds": 2.0}

    class Place:
        of, folds, task = SMALL, None, EMOTIONS

    class Fold:
        def __init__(self, number):
            self.number = number

    monkeypatch.setattr(epochs, "answered", answered)
    monkeypatch.setattr(epochs, "read_folds", lambda _: [Fold(0), Fold(1)])
    found = measured("mmin", Place, tmp_path)
    assert asked == [
        (fold, b["epochs"], b["patience"], b["epochs"]) for b in BUDGETS.values() for fold in (0, 1)
    ]
    gained = found["100"]["avg6"] - found["30"]["avg6"]
    assert abs(found["difference"]["difference"] - gained) < 1e-5
    assert gained > 0.1
    row = table({"methods": {"mmin": found}}).splitlines()[2]
    assert row.startswith(f"| mmin | {100 * found['30']['avg6']:.1f} |")
    assert f"{100 * gained:+.1f} [" in row
