"""The section on clusters."""

import numpy as np
import pandas as pd

from cmarr.analyses.clusters import clusters_figure, clusters_section
from cmarr.analyses.recovery import embed


def rows(level: float) -> pd.DataFrame:
    draws = np.random.default_rng(0)
    parts = []
    for condition in ("t", "s", "svt"):
        part = pd.DataFrame(
            {"id": [f"u{i}" for i in range(40)], "fold": 1, "seed": 0, "condition": condition}
        )
        part["cluster"] = [f"speaker{i % 8}" for i in range(40)]
        parts.append(part.assign(silhouette=level + 0.01 * draws.normal(size=40)))
    return pd.concat(parts)


def points() -> pd.DataFrame:
    """A map of two utterances."""
    return pd.DataFrame(
        {"name": "mcur", "condition": "t", "label": ["calm", "tense"], "x": 0.0, "y": [0.0, 1.0]}
    )


def page(measured, **options) -> str:
    return clusters_section(measured, points(), dataset="demo", **options).markdown("demo")


def test_every_condition_its_mean_and_what_the_difference_carries():
    text = page({"mcur": rows(0.3), "masked": rows(0.1)})
    assert "| method " in text
    assert "| mcur " in text
    assert all(f" {column} " in text for column in ("t", "s", "svt", "mean"))
    assert "mcur - masked: +0.200" in text
    assert "mcur parts the classes better" in text
    assert "no difference shown" in page({"a": rows(0.3), "b": rows(0.3)})


def test_a_variant_says_what_it_changes_and_nothing_measured_says_so():
    assert "- w/o sugr: sugr = none" in page({"w/o sugr": rows(0.1)}, changes={"w/o sugr": "sugr = none"})
    assert "No clusters have been measured" in page({})


def test_points_are_placed_the_same_way_every_time_and_alike_lie_together():
    draws = np.random.default_rng(0)
    vectors = np.repeat(np.eye(4)[:2] + 0.01, 15, axis=0) + 0.01 * draws.normal(size=(30, 4))
    first, second = embed(vectors, "cosine"), embed(vectors, "cosine")
    assert np.array_equal(first, second)
    centres = first.reshape(2, 15, 2).mean(1)
    assert np.linalg.norm(centres[0] - centres[1]) > np.linalg.norm(first[:15] - centres[0], axis=1).mean()


def test_a_row_a_method_and_a_panel_a_condition():
    draws = np.random.default_rng(0)
    parts = [
        pd.DataFrame(draws.normal(size=(6, 2)), columns=["x", "y"]).assign(
            name=name, condition=condition, label=["calm", "tense"] * 3, id=range(6)
        )
        for name in ("mcur", "masked")
        for condition in ("t", "svt")
    ]
    figure = clusters_figure(pd.concat(parts), title="demo")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["t, mcur", "svt, mcur", "t, masked", "svt, masked"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["calm", "tense"]
