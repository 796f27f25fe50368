import pandas as pd
import pytest

from cmarr.analyses.cost import cost_table
from cmarr.analyses.results import results_frame, results_text
from cmarr.report.published import table_2, with_avg7
from cmarr.report.table import markdown_table, plain_table
from cmarr.task import Task


def row(table: pd.DataFrame, name: str) -> dict:
    return table[table["available"] == name].iloc[0].to_dict()


def test_the_layout_of_table_2(make_summary, emotions):
    paper = table_2("iemocap")
    table = results_frame(
        {"cmarr": make_summary(emotions, 0.7123), "linear": make_summary(emotions, 0.65)},
        emotions,
        published=with_avg7({method: paper[method] for method in ("CM-ARR", "CRA")}),
    )
    assert table["available"].tolist() == ["t", "s", "v", "vt", "sv", "st", "avg6", "svt", "avg7"]
    assert row(table, "svt") == {
        "available": "svt",
        "scored": "228 of 240",
        "cmarr": "71.23 ± 2.00 / 71.23 ± 2.00",
        "linear": "65.00 ± 2.00 / 65.00 ± 2.00",
        "CM-ARR (paper)": "79.86 / 81.06",
        "CRA (paper)": "-",
    }
    assert row(table, "avg7")["CM-ARR (paper)"].endswith(" *")


def test_one_fold_prints_intervals(make_summary, emotions):
    table = results_frame({"cmarr": make_summary(emotions, 0.7, folds=1)}, emotions)
    assert row(table, "st")["cmarr"] == "70.00 [67.0, 73.0] / 70.00 [67.0, 73.0]"


def test_what_cannot_be_met_is_a_dash_and_the_average_says_what_it_covers(make_summary, emotions):
    table = results_frame({"cmarr": make_summary(emotions, 0.7, met=("t", "s", "st"))}, emotions)
    assert row(table, "v") == {"available": "v", "scored": "-", "cmarr": "-"}
    assert "avg6 of t, s, st" in set(table["available"])


def test_bold_needs_a_shown_difference_to_every_other_method(make_summary, make_comparison, emotions):
    summaries = {name: make_summary(emotions, mean) for name, mean in (("a", 0.7), ("b", 0.6), ("c", 0.5))}
    won = make_comparison(emotions, 0.1, shown=1)
    open_ = make_comparison(emotions, 0.1, shown=0)

    def bold(comparisons):
        return "**70.00**" in row(results_frame(summaries, emotions, comparisons=comparisons), "st")["a"]

    assert bold({("a", "b"): won, ("a", "c"): won})
    assert bold({("a", "b"): won, ("c", "a"): make_comparison(emotions, -0.1, shown=-1)})  # either way round
    assert not bold({("a", "b"): won, ("a", "c"): open_})
    assert not bold({("a", "b"): won})
    assert not bold({})


def test_scores_have_a_line_a_method_under_each_condition(make_summary):
    summaries = {"cmarr": make_summary(Task(), 0.8), "linear": make_summary(Task(), 0.6)}
    table = results_frame(summaries, Task())
    assert list(table.columns) == ["available", "scored", "method", "MAE", "Corr", "Acc-2", "WF1", "Acc-7"]
    assert table.iloc[0].tolist() == [
        "t",
        "228 of 240",
        "cmarr",
        "0.800 ± 0.020",
        "0.800 ± 0.020",
        *["80.00 ± 2.00"] * 3,
    ]
    assert table.iloc[1].tolist()[:3] == ["", "", "linear"]
    assert len(table) == 9 * 2


def test_markdown_lines_up_words_left_and_numbers_right():
    frame = pd.DataFrame({"corpus": ["a|b", "c"], "hours": [1.5, None], "clips": [1200, 7]}, dtype=object)
    assert markdown_table(frame).splitlines() == [
        "| corpus | hours | clips |",
        "| ------ | ----: | ----: |",
        "| a\\|b   |  1.50 | 1,200 |",
        "| c      |     - |     7 |",
    ]
    assert plain_table(frame).splitlines() == [
        "corpus  hours  clips",
        "--------------------",
        "a|b      1.50  1,200",
        "c           -      7",
    ]


def test_the_terminal_shows_means_only(make_summary, emotions):
    text = results_text({"cmarr": make_summary(emotions, 0.7)}, emotions, title="demo")
    assert text.startswith("demo\nWAR / UAR in %")
    assert "70.00 / 70.00" in text
    assert "±" not in text


@pytest.mark.parametrize("trainings", [[], [{"epochs": 4, "device": "cpu"}, {"epochs": 5, "device": "cpu"}]])
def test_costs(trainings):
    cost = {"seconds": 12, "core_seconds": 9, "peak_memory_bytes": 512_000_000, "parameters": 1_234_567}
    cost["trainings"] = trainings
    table = cost_table({"cmarr": cost})
    known = (
        ["2", "4.5", "12.0", "9.0", "512", "1,234,567", "cpu"]
        if trainings
        else ["-", "-", "12.0", "9.0", "512", "1,234,567", "-"]
    )
    assert table.rows == [["cmarr", *known]]
    assert "whole process" in " ".join(table.notes)
