"""Figure 4: collecting results, drawing what was run, saying what was not."""

import pytest

from cmarr.analyses.sensitivity import (
    Sensitivity,
    measured,
    read_results,
    sensitivity_figure,
    sensitivity_section,
    with_result,
    write_results,
)
from cmarr.errors import UserError
from cmarr.settings.grid import COLUMNS, Point
from cmarr.task import Task

NOW = {"alpha": 1.0, "beta": 0.1, "lambda": 10.0}
CURVES = {
    "alpha": [Point({**NOW, "alpha": 0.5}, "a"), Point(NOW, "now")],
    "beta": [Point(NOW, "now"), Point({**NOW, "beta": 0.5}, "b")],
    "lambda": [Point(NOW, "now")],
}


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "sensitivity.csv").write_text(",".join(COLUMNS) + "\n")
    return read_results(tmp_path / "sensitivity.csv")


@pytest.fixture
def results(empty, make_summary, emotions):
    first = with_result(empty, CURVES["alpha"][0], make_summary(emotions, 0.6))
    return with_result(first, CURVES["alpha"][1], make_summary(emotions, 0.7))


def test_results_survive_the_file(results, tmp_path):
    write_results(tmp_path / "again.csv", results)
    again = read_results(tmp_path / "again.csv")
    assert again.equals(results)
    assert set(again["key"]) == {"a", "now"}


def test_a_point_run_again_takes_the_place_of_the_old_one(results, make_summary, emotions):
    again = with_result(results, CURVES["alpha"][1], make_summary(emotions, 0.8))
    assert len(again) == len(results)
    assert measured(CURVES["alpha"], again, "UAR", "avg6")["mean"].tolist() == [0.6, 0.8]


def test_a_curve_has_the_points_that_were_run_in_order(results):
    assert measured(CURVES["alpha"], results, "UAR", "avg6")["at"].tolist() == [0, 1]
    assert measured(CURVES["beta"], results, "UAR", "avg6")["at"].tolist() == [0]


def test_the_section_names_what_is_missing(results, emotions):
    page = sensitivity_section(Sensitivity(CURVES, results, emotions, NOW), "demo").markdown("demo")
    assert "2 of the 3 points of the grids have been run" in page
    assert "| 0.5 | 60.00 [57.0, 63.0] |" in page  # alpha
    assert "| 0.5 |                  - |" in page  # beta


def test_without_data_the_section_says_so(empty, results, emotions):
    for curves, frame in ((CURVES, empty), ({"alpha": [Point(NOW, "other settings")]}, results), ({}, empty)):
        page = sensitivity_section(Sensitivity(curves, frame, emotions, NOW), "demo").markdown("demo")
        assert "No point of the parameter study has been run" in page


def test_three_panels_with_the_current_value_marked(results, emotions):
    figure = sensitivity_figure(Sensitivity(CURVES, results, emotions, NOW), "demo")
    assert [a.get_title(loc="left")[0] for a in figure.axes] == ["α", "β", "λ"]
    bold = [t.get_text() for t in figure.axes[0].get_xticklabels() if t.get_fontweight() == "bold"]
    assert bold == ["1"]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].lines}
    assert drawn == {"WAR": [60.0, 70.0], "UAR": [60.0, 70.0]}


def test_scores_are_drawn_as_errors(make_summary, empty):
    frame = with_result(empty, CURVES["lambda"][0], make_summary(Task(), 0.9))
    shown = Sensitivity(CURVES, frame, Task(), NOW)
    figure = sensitivity_figure(shown, "mosi")
    assert [line.get_label() for line in figure.axes[2].lines] == ["MAE"]
    assert "0.900 [0.87, 0.93]" in sensitivity_section(shown, "mosi").markdown("mosi")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "sensitivity.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="must have the columns key, alpha"):
        read_results(tmp_path / "sensitivity.csv")
    with pytest.raises(UserError, match=r"none\.csv: does not exist; take it from git again"):
        read_results(tmp_path / "none.csv")
