"""What privileges are worth: marked everywhere, bold nowhere, beside its own method alone."""

import pandas as pd
import pytest

from cmarr.analyses.ablations import compared
from cmarr.analyses.as_published import (
    AsPublished,
    as_published_section,
    points_frame,
    privileged,
    section,
    sentences,
)
from cmarr.folds.privileges import MARK, WORD
from cmarr.report.page import Page, render
from cmarr.task import Task
from tests.report.studies import study

ROWS = {"primd, as published": ("primd", ("test_epoch", "per_condition"))}
LABEL = next(iter(ROWS))


@pytest.fixture
def found(make_summary, make_comparison, emotions) -> AsPublished:
    summaries = {"primd": make_summary(emotions, 0.7), LABEL: make_summary(emotions, 0.76)}
    return AsPublished(ROWS, summaries, {(LABEL, "primd"): make_comparison(emotions, 0.06, shown=1)})


def test_the_row_stands_below_its_method_with_what_the_protocol_is_worth(found):
    frame = points_frame(found, "UAR")
    assert list(frame["method"]) == ["primd", f"{LABEL} {MARK}", f"{LABEL}: the protocol's {MARK}"]
    assert [cell.split()[0] for cell in frame["avg6"]] == ["70.00", "76.00", "+6.00"]
    assert "**" not in frame.to_string()


def test_page_markdown_and_latex_all_say_it_and_the_page_in_red(found, emotions):
    made = as_published_section(found, emotions, "speaker")
    text, page = made.markdown("demo"), render(Page("demo", "", [made]))
    assert f"{LABEL} {MARK} (the epoch is chosen on the test utterances; one training a condition" in text
    gained = "+6.00 [+3.0, +9.0] UAR and +6.00 [+3.0, +9.0] WAR on avg6 are the protocol's, not primd's."
    assert gained in text
    assert page.count(f'<span class="privileged">{WORD}</span>') >= text.count(MARK) and MARK not in page
    assert ".privileged" in page and "--warn" in page
    latex = made.blocks[1].latex()
    assert rf"\\textcolor{{red}}{{{WORD}}}".replace("\\\\", "\\") in latex and "xcolor" in latex
    assert MARK in made.blocks[1].csv()


def test_what_is_not_shown_is_not_called_the_protocol_s(found, make_comparison, emotions):
    unsure = AsPublished(ROWS, found.summaries, {(LABEL, "primd"): make_comparison(emotions, 0.06, shown=0)})
    assert "would be the protocol's, not primd's; the data carry no gain." in as_published_section(
        unsure, emotions, "speaker"
    ).markdown("demo")
    assert "primd_as_published" in as_published_section(None, Task(), "video").missing


def test_a_privileged_row_is_among_no_ablations(monkeypatch):
    made = study()
    row = {
        "name": "x",
        "label": LABEL,
        "method": "cmarr",
        "against": "cmarr",
        "set": {},
        "privileges": ["test_epoch"],
    }
    object.__setattr__(made, "settings", {"ablations": [row], "cluster": "speaker"})
    monkeypatch.setattr(type(made), "predictions", lambda self, name: self.frames["masked"])
    assert compared(made) == {}
    numbers = section(made).files["as_published.csv"]
    assert isinstance(numbers, pd.DataFrame) and set(numbers["privileges"]) == {"", "test_epoch"}
    assert set(numbers.loc[numbers["privileges"] != "", "method"]) == {LABEL}


def test_a_margin_between_two_methods_is_told_apart_into_theirs_and_the_protocols(monkeypatch):
    """What each is as published the other is under the rules: the margin turns, and twice of it is the protocols'."""
    made = study()
    rows = [
        {"name": f"{of}_as_published", "label": f"{of}, as published", "method": of, "against": of, "set": {}}
        | {"privileges": ["test_epoch"]}
        for of in ("cmarr", "masked")
    ]
    object.__setattr__(made, "settings", {"ablations": rows, "cluster": "speaker"})
    other = {"cmarr_as_published": "masked", "masked_as_published": "cmarr"}
    monkeypatch.setattr(type(made), "predictions", lambda self, name: self.frames[other[name]])
    found = privileged(made)
    (margin,) = found.margins.values()
    cells = [
        cells["UAR"]["avg6"]["difference"] for cells in (margin.published, margin.ruled, margin.protocol)
    ]
    assert cells[0] == pytest.approx(-cells[1]) and cells[2] == pytest.approx(cells[0] - cells[1], abs=1e-5)
    protocol = margin.protocol["UAR"]["avg6"]
    assert protocol["lo"] < protocol["difference"] < protocol["hi"]
    said = sentences(found, made.task)[-1]
    assert f"cmarr ahead of masked, each as its authors trained and chose it {MARK}" in said
    assert f"Of that margin {100 * cells[2]:+.2f} [" in said
