"""The page: everything in one file, every link leads somewhere, other people's words stay words."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cmarr.analyses import summary
from cmarr.analyses.ablations import ablations_section
from cmarr.analyses.calibration import calibration_section
from cmarr.analyses.faces import faces_section
from cmarr.analyses.importance import importance_section
from cmarr.analyses.recovery import recovery_section
from cmarr.analyses.risk import risk_section
from cmarr.analyses.robustness import robustness_section
from cmarr.evaluation.comparison import METHODS, MODELS
from cmarr.report.page import Section, render, write_page
from cmarr.task import Task
from tests.killed import killed_at
from tests.report.studies import HOSTILE, page_of, study, told_of


class Reader(HTMLParser):
    """Collects what a browser would act upon."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def every(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def read(folder) -> Reader:
    return Reader((folder / "index.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself(read):
    assert not read.every("link") or all(a["href"] == "data:," for a in read.every("link"))
    assert all("src" not in a for a in read.every("script"))
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in read.every("img"))
    addresses = [v for _, a in read.tags for k, v in a.items() if k in ("src", "href", "xlink:href") and v]
    assert not [a for a in addresses if a.startswith(("http:", "https:", "//", "file:"))]


def test_labels_ids_and_reasons_are_text(folder, read):
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;script&gt;document.title" in page
    assert len(read.every("script")) == 1
    assert not [k for _, a in read.tags for k in a if k.startswith("on")]
    # and if something got through after all, the page's own rule would not let it run
    (policy,) = (a["content"] for a in read.every("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_ids_are_unique_and_every_anchor_leads_to_one(read):
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in read.every("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert len([link for link in links if link.startswith("#")]) > 20
    page = "".join(v or "" for _, a in read.tags for v in a.values())
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_the_contents_name_no_section_that_is_empty(page, folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    contents = re.findall(r'<li><a href="#([^"]+)">', text[: text.index("</nav>")])
    assert contents == [section.id for section in page.sections if not section.missing]


def test_confusions_are_folded_away(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    part = text[text.index('<section id="confusion">') :]
    folds = re.findall(r"<details[^>]*>", part[: part.index("</section>")])
    assert folds and not [fold for fold in folds if "open" in fold]


def test_every_file_that_is_linked_lies_beside_the_page(folder, read):
    files = {a["href"] for a in read.every("a")} - {a["href"] for a in read.every("a") if a["href"][0] == "#"}
    assert len(files) > 30
    assert not [name for name in files if not (folder / name).is_file()]


def test_every_figure_has_words_and_every_table_headers(page, read):
    shown = [a for a in read.every("div") if a.get("role") == "img"]
    assert len(shown) == len(page.pictures) > 5
    assert all(len(a["aria-label"]) > 20 for a in shown)
    assert all(a.get("alt") for a in read.every("img"))
    assert {a.get("scope") for a in read.every("th")} == {"col", "row"}
    assert len(read.every("table")) == len(page.tables)


def test_figures_are_files_too(folder, page):
    names = {panel.name for picture in page.pictures for panel in picture.panels}
    assert {p.stem for p in (folder / "figures").glob("*.svg")} == names
    assert (folder / "figures/results.png").is_file()


def test_equal_studies_give_equal_bytes(folder, page, tmp_path):
    write_page(tmp_path, page)
    again = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    first = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert again == first


def test_killed_at_any_moment_it_is_written_to_the_same_bytes(page, tmp_path):
    short = replace(page, sections=[section for section in page.sections if section.blocks][:1])
    write_page(tmp_path / "whole", short)
    expected, moment, kills = contents(tmp_path / "whole"), 1, 0
    while killed_at(moment, target := tmp_path / str(moment), lambda: write_page(target, short)):
        assert all(expected[name] == found for name, found in contents(target).items() if name[-4:] != ".tmp")
        write_page(target, short)
        assert contents(target) == expected
        moment, kills = moment + 2, kills + 1
    assert kills > 3


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_method_without_epochs_has_no_learning_curve(page):
    (section,) = (s for s in page.sections if s.id == "learning")
    assert [block.heading for block in section.blocks] == ["cmarr", "masked"]
    assert "Fitted in one step, so without a curve: `linear`." in section.lead


def test_figures_follow_the_theme(read):
    styles = " ".join(a["style"] for tag, a in read.tags if tag in ("path", "text", "use") and "style" in a)
    assert "var(--ink)" in styles
    assert "var(--c0)" in styles
    assert "DejaVu" not in styles


EMPTY = [
    ablations_section({}, Task(("a", "b")), changes={}),
    calibration_section({}, {}),
    risk_section({}, {}, "x"),
    faces_section(None),
    importance_section({}, Task(("a", "b"))),
    recovery_section({}, None, changes={}, dataset="demo"),
    robustness_section({}, Task(("a", "b"))),
]


@pytest.mark.parametrize("section", EMPTY, ids=lambda s: s.id)
def test_a_section_without_data_says_in_a_sentence_how_to_get_it(section: Section):
    assert not section.blocks
    assert section.missing.endswith(".")
    assert "`" in section.missing  # the key or the command


def test_the_sheet_knows_every_variable_that_is_used(page):
    text = render(page)
    sheet = (Path(__file__).parents[2] / "cmarr/report/templates/page.css").read_text()
    assert set(re.findall(r"var\(--([a-z0-9]+)\)", text)) <= set(re.findall(r"--([a-z0-9]+):", sheet))


def test_the_summary_names_no_winner_that_no_test_carries(make_summary, make_comparison, emotions, page):
    from cmarr.analyses.study import Study

    def told(difference: float, shown: int, of: str = METHODS) -> str:
        made = Study(
            "demo",
            emotions,
            {},
            {"cmarr": make_summary(emotions, 0.7 + difference), "masked": make_summary(emotions, 0.7)},
            {("cmarr", "masked"): make_comparison(emotions, difference, shown=shown, of=of)},
            {},
            {},
            {"declared": {"masked": {"plain": True}}, **told_of(("cmarr", "masked"))},
        )
        vars(made).update(features={"text": "hashing"}, fold_rule="F.", doubts=[])
        return " ".join(summary.section(made).blocks[0].lines)

    assert "it is shown to be better than `masked`" in told(0.05, 1)
    assert "Not shown to beat" not in told(0.05, 1)
    models = told(0.05, 1, MODELS)
    assert "these trained models of it are shown to be better than those of `masked`" in models
    assert "Trained models shown to be better than all the others: `cmarr`" in models
    assert "One seed: what is shown is shown of these trained models" in models
    assert "One seed" not in told(0.05, 1)
    unclear = told(0.05, 0)
    assert "`cmarr` has the highest UAR" in unclear
    assert "**No test carries a difference from `masked`.**" in unclear
    assert "Under none of the 7 conditions is one method shown to be better" in unclear
    assert "Not shown to beat the plain rival `masked` on avg6: `cmarr`." in unclear


def test_a_study_of_scores_has_a_page_too():
    text = render(page_of(study(Task())))
    assert "the lowest MAE" in text
    assert "A score has no classes: nothing can be confused." in text
    assert "MAE: every method under every condition" in text
