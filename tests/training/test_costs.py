"""Curves and costs as files."""

import json

import pandas as pd

from cmarr.training.costs import write_costs, write_curves, write_mean_curves


def outcome(fold: int, losses: list[float], **more: float) -> dict:
    curves = [{"loss/cls": value, "loss/gradient_norm": 9.0, "validation/t": 1.0, **more} for value in losses]
    return {
        "fold": fold,
        "seed": 0,
        "curves": curves,
        "seconds": 2.0,
        "core_seconds": 1.5,
        "epochs": len(losses),
        "best_epoch": 1,
        "parameters": 10,
        "peak_memory_bytes": fold * 100,
        "device": "cpu",
    }


OUTCOMES = [outcome(1, [4.0, 2.0, 1.0]), outcome(2, [2.0, 1.0], extra=5.0), outcome(3, [3.0])]


def test_curves_are_one_row_a_value(tmp_path):
    write_curves(tmp_path / "curves.csv", OUTCOMES)
    frame = pd.read_csv(tmp_path / "curves.csv")
    row = frame.query("fold == 2 and epoch == 2 and name == 'loss/cls'")
    assert row["value"].tolist() == [1.0]
    assert len(frame) == 3 * 3 + 2 * 4 + 3


def test_the_mean_stops_where_most_trainings_have_stopped(tmp_path):
    write_mean_curves(tmp_path / "learning.csv", OUTCOMES)
    frame = pd.read_csv(tmp_path / "learning.csv")
    assert frame["epoch"].tolist() == [1, 2]  # epoch 3 was reached by one of three
    assert frame["loss"].tolist() == [3.0, 1.5]  # the gradient's norm is no loss
    assert "extra" not in frame


def test_costs_by_hand(tmp_path):
    write_costs(tmp_path / "cost.json", OUTCOMES)
    costs = json.loads((tmp_path / "cost.json").read_text())
    assert costs["seconds"] == 6.0 and costs["core_seconds"] == 4.5
    assert costs["peak_memory_bytes"] == 300
    assert [t["epochs"] for t in costs["trainings"]] == [3, 2, 1]
