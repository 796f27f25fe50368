import pytest

from cmarr.modalities import CONDITIONS, INCOMPLETE
from cmarr.report.published import SLIPS, table_2, table_3, with_avg7

TABLES = {"iemocap": table_2("iemocap"), "msp_improv": table_2("msp_improv"), "table 3": table_3()}
PRINTED_WRONGLY = ("msp_improv", "CRA", 0)
CASES = [(t, m, i) for t, table in TABLES.items() for m in table for i in (0, 1)]


@pytest.mark.parametrize(("table", "method", "part"), [c for c in CASES if c != PRINTED_WRONGLY])
def test_the_printed_averages_are_the_means_of_their_cells(table, method, part):
    """Which also catches a slip of the copyist: every cell takes part in one of these means."""
    cells = TABLES[table][method]
    mean = sum(cells[c][part] for c in INCOMPLETE) / 6
    assert cells["avg6"][part] == pytest.approx(mean, abs=0.0101)


def test_the_one_that_is_not_is_kept_as_printed_and_named():
    cells = TABLES["msp_improv"]["CRA"]
    assert cells["avg6"][0] == 52.59
    assert round(sum(cells[c][0] for c in INCOMPLETE) / 6, 2) == 50.92
    assert "52.59" in SLIPS["msp_improv"]
    assert "50.92" in SLIPS["msp_improv"]


def test_cells_are_where_the_paper_has_them():
    assert TABLES["iemocap"]["CM-ARR"]["sv"] == (75.51, 76.38)
    assert TABLES["msp_improv"]["DiCMoR+"]["svt"] == (71.69, 68.08)
    assert TABLES["iemocap"]["CRA"]["svt"] is None
    assert TABLES["table 3"]["w/ point"]["v"] == (50.35, 48.99)
    assert "svt" not in TABLES["table 3"]["full"]
    shared = {row: TABLES["iemocap"]["CM-ARR"][row] for row in TABLES["table 3"]["full"]}
    assert TABLES["table 3"]["full"] == shared


def test_avg7_is_worked_out_where_all_seven_are_printed():
    table = with_avg7(TABLES["iemocap"])
    expected = sum(TABLES["iemocap"]["CM-ARR"][c][1] for c in CONDITIONS) / 7
    assert table["CM-ARR"]["avg7"][1] == pytest.approx(expected, abs=0.005)
    assert table["CRA"]["avg7"] is None


def test_a_corpus_that_the_paper_does_not_have_has_no_table():
    assert table_2("demo") is None
