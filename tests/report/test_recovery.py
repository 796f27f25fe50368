"""Figure 5 and its section of the report."""

import numpy as np
import pandas as pd

from cmarr.analyses.recovery import embed, foretold, recovery_figure, recovery_section

MEASURES = ("cosine", "cosine_other", "mse", "unexplained", "unexplained_ridge", "rank", "agreement")


def rows(better: float) -> pd.DataFrame:
    """Text from speech is better than speech from text by `better` in every measure."""
    draws = np.random.default_rng(0)
    parts = []
    for sources, missing, level in (("s", "t", 0.5), ("t", "s", 0.5 + better)):
        part = pd.DataFrame({"id": [f"u{i}" for i in range(40)], "fold": 1, "seed": 0})
        part["sources"], part["missing"] = sources, missing
        part["cluster"] = [f"speaker{i % 8}" for i in range(40)]
        for measure in MEASURES:
            part[measure] = level + 0.01 * draws.normal(size=40)
        part["unexplained_ridge"] = 0.6
        parts.append(part)
    return pd.concat(parts)


def points() -> pd.DataFrame:
    """The map of one utterance."""
    return pd.DataFrame(
        {
            "name": "cmarr",
            "missing": "t",
            "kind": ["true", "recovered"],
            "id": "u0",
            "x": 0.0,
            "y": [0.0, 1.0],
        }
    )


def page(measured, changes=()) -> str:
    return recovery_section(measured, points(), changes=dict(changes), dataset="demo").markdown("demo")


def test_the_claim_of_the_paper_is_answered_by_a_paired_interval():
    text = page({"cmarr": rows(0.2)})
    assert "unexplained variance: -0.20" in text
    assert "text is recovered better from speech, as the paper says" in text
    assert "speech is recovered better from text, against the paper" in page({"cmarr": rows(-0.2)})
    assert "no difference shown" in page({"cmarr": rows(0.0)})


def test_ridge_stands_beside_the_recovery():
    text = page({"cmarr": rows(0.2)})
    assert "| unexplained, ridge |" in text
    assert "Explains more of the truth than ridge regression in 1 of 2 cases." in text


def test_what_a_model_foretold_stands_beside_what_came_true():
    names = ["diagnostic/unexplained/s-t", "loss/cls", "diagnostic/unexplained/t-s"]
    curves = pd.concat(
        pd.DataFrame({"fold": fold, "seed": 0, "epoch": 1, "name": names, "value": [share, 9.0, 0.5]})
        for fold, share in ((1, 0.6), (2, 0.8))
    )
    before = foretold(curves)
    assert {pair: round(share, 6) for pair, share in before.items()} == {("s", "t"): 0.7, ("t", "s"): 0.5}
    told = recovery_section(
        {"gaussian": rows(0.2), "cmarr": rows(0.2)},
        points(),
        changes={},
        dataset="demo",
        told_before={"gaussian": before, "cmarr": foretold(curves[curves["name"] == "loss/cls"])},
    ).markdown("demo")
    assert told.count("unexplained, foretold |") == 1 and "before any truth is seen" in told
    row = next(line for line in told.splitlines() if line.replace(" ", "").startswith("|t|s|"))
    assert row.rstrip("| ").endswith("0.700")


def test_a_variant_says_what_it_changes():
    text = page({"plain flows": rows(0)}, changes={"plain flows": "alpha = 0.0"})
    assert "plain flows (alpha = 0.0)" in text


def test_without_data_the_section_says_so():
    assert "No recovery has been measured" in page({})


def test_points_are_placed_the_same_way_every_time():
    draws = np.random.default_rng(0)
    truth = draws.normal(size=(20, 5))
    first, second = (embed(np.concatenate([truth + 0.01, truth])).reshape(2, 20, 2) for _ in range(2))
    assert np.array_equal(first, second)
    near = np.linalg.norm(first[0] - first[1], axis=1)
    far = np.linalg.norm(first[0] - np.roll(first[1], 7, axis=0), axis=1)
    assert np.median(near) < 0.5 * np.median(far)  # what lies together stays together


def test_a_panel_a_missing_modality_and_a_row_a_method():
    draws = np.random.default_rng(0)
    parts = [
        pd.DataFrame(draws.normal(size=(6, 2)), columns=["x", "y"]).assign(
            name=name, missing=missing, kind=kind, id=range(6)
        )
        for name in ("cmarr", "plain flows")
        for missing in ("t", "v")
        for kind in ("true", "recovered")
    ]
    figure = recovery_figure(pd.concat(parts), title="demo", changes={"plain flows": "alpha = 0.0"})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["text, cmarr", "video, cmarr", "text, plain flows", "video, plain flows"]
    assert "plain flows: alpha = 0.0" in figure.get_suptitle()
