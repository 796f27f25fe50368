"""One table, four forms; what a corpus calls things is text in every one of them."""

import csv
import io

import pandas as pd

from cmarr.report.page import cell, prose
from cmarr.report.table import Table, latex_text, slug

HOSTILE = "<b>a & b</b>|c_d $x$ 5% \\ {~^#}"


def table() -> Table:
    frame = pd.DataFrame(
        {"method": [HOSTILE, "**mine**"], "UAR, %": ["**71.50** [60.1, 80.2]", "-"], "n": [1200, 7]}
    )
    return Table("results", "Scores of all", frame, ["Bold: shown to be better."])


def test_csv_holds_the_printed_cells_without_emphasis():
    rows = list(csv.reader(io.StringIO(table().csv())))
    assert rows == [
        ["method", "UAR, %", "n"],
        [HOSTILE, "71.50 [60.1, 80.2]", "1,200"],
        ["**mine**", "-", "7"],
    ]


def test_latex_is_escaped_and_ruled_by_booktabs():
    text = table().latex()
    assert r"\textless{}b\textgreater{}a \& b\textless{}/b\textgreater{}\textbar{}c\_d \$x\$ 5\% " in text
    assert r"\textbackslash{} \{\textasciitilde{}\textasciicircum{}\#\}" in text
    assert r"\textbf{71.50} [60.1, 80.2]" in text
    assert "**mine**" in text  # a name may hold stars; only numbers are set in bold
    assert [line for line in text.splitlines() if line in (r"\toprule", r"\midrule", r"\bottomrule")] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]
    assert r"\begin{tabular}{lrr}" in text
    assert latex_text("β ± 1") == r"$\beta$ $\pm$ 1"


def test_markdown_has_caption_table_and_notes():
    text = table().markdown()
    assert text.startswith("**Scores of all**\n\n| method")
    assert r"<b>a & b</b>\|c_d" in text
    assert text.endswith("- Bold: shown to be better.\n")


def test_html_escapes_first_and_sets_afterwards():
    assert (
        cell("<i>**1.5** [1.0, 2.0]") == '&lt;i&gt;<strong>1.5</strong> <span class="minor">[1.0, 2.0]</span>'
    )
    assert prose("**yes** `<x>` <y>") == "<strong>yes</strong> <code>&lt;x&gt;</code> &lt;y&gt;"


def test_columns_of_numbers_are_set_to_the_right():
    assert table().left == {0}
    frame = pd.DataFrame({"a": ["x"], "id": ["u1"], "n": ["-0.5 [1, 2]"], "words": ["5 of it"]})
    assert Table("t", "c", frame).left == {0, 1}
    nobody = pd.DataFrame({"method": ["a", "b"], "v": ["-", "-"], "sv": ["-", ""], "note": ["-", "none"]})
    assert Table("t", "c", nobody).left == {0, 3}, (
        "where no utterance meets a condition, it stays a column of numbers"
    )


def test_files_carry_the_tables_name(tmp_path):
    table().write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.csv", "results.md", "results.tex"]
    assert slug("../W/o  Flow!") == "w-o-flow"
